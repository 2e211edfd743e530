"""Find where someone speaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from examples.podcast.records import Region
from examples.podcast.speech_probabilities import CHUNK, SAMPLING_RATE, speech_probabilities
from trtforge._progress import OnProgress

STEP = CHUNK / SAMPLING_RATE

ENTER, LEAVE = 0.5, 0.35
MIN_SPEECH_SECONDS, MIN_MEAN = 0.25, 0.7
# Both detector and recogniser need to hear how a word begins.
BEFORE_SECONDS, AFTER_SECONDS = 0.24, 0.16


def find_speech(
    audio: Path, *, pause_seconds: float, max_seconds: float, on_progress: OnProgress
) -> tuple[Region, ...]:
    """Find regions of speech in a recording of any length, a block at a time.

    Parameters
    ----------
    audio : 16 kHz mono file.
    pause_seconds : a shorter pause does not part two regions.
    max_seconds : longest region; a longer one is parted where speech is least likely.
    on_progress : called with chunks done and in all.

    Returns
    -------
    Regions in order, 0.24 s wider at the start and 0.16 s at the end where there is room; none where
    nobody speaks.
    """
    probabilities = speech_probabilities(audio, on_progress)
    return regions(probabilities, pause_seconds=pause_seconds, max_seconds=max_seconds)


def regions(
    probabilities: NDArray[np.float32], *, pause_seconds: float, max_seconds: float
) -> tuple[Region, ...]:
    """Turn probabilities into regions.

    Speech begins where the probability reaches 0.5 and ends where it falls below 0.35 for ``pause_seconds``.
    A region counts where it lasts 0.25 s or more and its mean probability is 0.7 or more: music is at times
    taken for speech, but briefly and not surely.

    Parameters
    ----------
    probabilities : float32 [chunks], one for each 32 ms.
    pause_seconds, max_seconds : as for `find_speech`.

    References
    ----------
    Two thresholds, a least duration and a least pause are those of Silero's ``get_speech_timestamps``.
    """
    pause = max(1, round(pause_seconds / STEP))
    longest = max(2, int((max_seconds - BEFORE_SECONDS - AFTER_SECONDS) / STEP))
    spans = [
        part
        for start, stop in _spans(probabilities, pause)
        if (stop - start) * STEP >= MIN_SPEECH_SECONDS and probabilities[start:stop].mean() >= MIN_MEAN
        for part in _parted(probabilities, start, stop, longest)
    ]
    return _with_margins(spans, len(probabilities) * STEP)


def _spans(probabilities: NDArray[np.float32], pause: int) -> Iterator[tuple[int, int]]:
    start, last = -1, -1
    for index, probability in enumerate(probabilities.tolist()):
        if start < 0:
            if probability >= ENTER:
                start = last = index
        elif probability >= LEAVE:
            last = index
        elif index - last >= pause:
            yield start, last + 1
            start = -1
    if start >= 0:
        yield start, last + 1


def _parted(
    probabilities: NDArray[np.float32], start: int, stop: int, longest: int
) -> Iterator[tuple[int, int]]:
    while stop - start > longest:
        # Not in the first half, so that few parts come out.
        half = start + longest // 2
        cut = half + int(probabilities[half : start + longest].argmin())
        yield start, cut
        start = cut
    yield start, stop


def _with_margins(spans: Sequence[tuple[int, int]], duration: float) -> tuple[Region, ...]:
    """Widen each span, at most to the middle of the pause to its neighbour."""
    times = [(start * STEP, stop * STEP) for start, stop in spans]
    found = []
    for index, (start, end) in enumerate(times):
        before = (times[index - 1][1] + start) / 2 if index else 0.0
        after = (end + times[index + 1][0]) / 2 if index + 1 < len(times) else duration
        found.append(
            Region(round(max(before, start - BEFORE_SECONDS), 3), round(min(after, end + AFTER_SECONDS), 3))
        )
    return tuple(found)
