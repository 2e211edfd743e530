"""The loop: audio in blocks to sentences, and sentences to key points, while the recording goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from examples.podcast.known_words import known_share
from examples.podcast.recognition import MIN_JUDGED_WORDS, MIN_KNOWN_SHARE, Recognizer, placed
from examples.podcast.records import Passage, Region, Segment, Transcript
from examples.podcast.segments import segment
from examples.podcast.settings import check_terms
from examples.podcast_live.key_points import KeyPoints, Points
from examples.podcast_live.sources import SAMPLING_RATE, Source
from examples.podcast_live.speech_stream import Piece, SpeechStream
from trtforge.errors import ConfigError


@dataclass(frozen=True)
class LiveSettings:
    """How the loop works.

    Parameters
    ----------
    pause_seconds : silence that ends a sentence, and so the wait for its words.
    max_seconds : a longer stretch of speech is recognised in parts.
    points_seconds : least audio between two updates of the key points.
    terms : how terms are written, each with the ways it may be recognised, in lower case.

    Raises
    ------
    ConfigError : a time is out of range.
    """

    pause_seconds: float = 0.4
    max_seconds: float = 12.0
    points_seconds: float = 15.0
    terms: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0.1 <= self.pause_seconds <= 5 or not 2 <= self.max_seconds <= 20:
            raise ConfigError(
                "pause_seconds must lie in 0.1 to 5 and max_seconds in 2 to 20, got "
                f"{self.pause_seconds} and {self.max_seconds}"
            )
        check_terms(self.terms)
        if not self.points_seconds > 0:  # nor NaN
            raise ConfigError(f"points_seconds must be positive, got {self.points_seconds}")


@dataclass(frozen=True)
class Latency:
    """How long an update took.

    Parameters
    ----------
    kind : ``text`` for a piece of speech, ``points`` for the key points.
    at : seconds of audio that had been heard when it began.
    seconds : of work alone: recognition of the piece, or the update.
    after_speech : from the end of the speech until its words were there, the pause and the wait for work
        before it among it; None where the audio does not arrive as time goes by. The clock begins with the
        first sample, as the earliest of all blocks tells it.
    """

    kind: str
    at: float
    seconds: float
    after_speech: float | None = None


@dataclass(frozen=True)
class Heard:
    """All that is known at a moment.

    Parameters
    ----------
    seconds : of audio.
    segments : sentences so far.
    points : the latest key points; of no text where there are none yet.
    latencies : of every update so far.
    is_speech : whether someone seems to speak now.
    doubt : why there are no key points, or "".
    num_lost : samples that a microphone gave and that found no place.
    """

    seconds: float = 0.0
    segments: tuple[Segment, ...] = ()
    points: Points = Points(())  # noqa: RUF009 - frozen
    latencies: tuple[Latency, ...] = ()
    is_speech: bool = False
    doubt: str = ""
    num_lost: int = 0


OnChange: TypeAlias = Callable[[Heard], None]


def listen(
    source: Source,
    recognizer: Recognizer,
    points: KeyPoints,
    settings: LiveSettings | None = None,
    *,
    on_change: OnChange = lambda heard: None,
) -> Heard:
    """Listen to a source until it ends or is interrupted from the keyboard.

    Silence, music and noise have no sentences, and without new sentences no key points are made; nor are
    there any where what was recognised is not of the recogniser's language. Key points are made beside the
    recognition where the source is live, so that the transcript does not wait for them.

    Parameters
    ----------
    source : the audio.
    recognizer : as the podcast pipeline takes it.
    points : what finds key points; it is warmed up before the source is opened.
    settings : defaults where None.
    on_change : called after each block of audio, with all that is known.

    Returns
    -------
    What was heard in the end.

    Raises
    ------
    ClipError : the recording cannot be read.
    TrtforgeError : a network failed.
    """
    if recognizer.sampling_rate != SAMPLING_RATE:
        raise ConfigError(
            f"a recogniser of {SAMPLING_RATE} Hz was expected, got {recognizer.sampling_rate} Hz"
        )
    loop = _Loop(source, recognizer, points, settings or LiveSettings(), on_change)
    with ThreadPoolExecutor(1) as worker:
        return loop.run(worker)


class _Loop:
    """What `listen` knows while it runs."""

    def __init__(
        self,
        source: Source,
        recognizer: Recognizer,
        points: KeyPoints,
        settings: LiveSettings,
        on_change: OnChange,
    ) -> None:
        self.source, self.recognizer, self.points = source, recognizer, points
        self.settings, self.on_change = settings, on_change
        self.heard = Heard()
        self.words: list[str] = []
        self.update: Future[tuple[Points, Latency]] | None = None
        self.num_told, self.told_at = 0, 0.0

    def run(self, worker: ThreadPoolExecutor) -> Heard:
        speech = SpeechStream(
            pause_seconds=self.settings.pause_seconds, max_seconds=self.settings.max_seconds
        )
        # Neither the first piece of speech nor the first update should wait for what a first call costs.
        list(self.recognizer.recognise([np.zeros(SAMPLING_RATE, np.float32)]))
        self.points.warm_up()
        begin = math.inf
        try:
            for block in self.source.blocks():
                # Blocks come late, never early: a device takes time to open, and the loop to ask.
                heard = speech.seconds + len(block) / SAMPLING_RATE
                begin = min(begin, time.perf_counter() - heard)
                for piece in speech.push(block):
                    self._add(piece, begin, speech.seconds)
                lost = self.source.num_lost
                self.heard = replace(
                    self.heard, seconds=speech.seconds, is_speech=speech.is_open, num_lost=lost
                )
                self._collect(wait=False)
                if speech.seconds - self.told_at >= self.settings.points_seconds:
                    self._start(worker)
                self._collect(wait=not self.source.is_live)
                self.on_change(self.heard)
        except KeyboardInterrupt:
            pass
        for piece in speech.finish():
            self._add(piece, begin, speech.seconds)
        self.heard = replace(self.heard, seconds=speech.seconds, is_speech=False)
        self._collect(wait=True)
        self._start(worker)
        self._collect(wait=True)
        self.on_change(self.heard)
        return self.heard

    def _add(self, piece: Piece, begin: float, now: float) -> None:
        """Recognise a piece of speech and add its sentences."""
        start = time.perf_counter()
        (found,) = self.recognizer.recognise([piece.samples])
        words = tuple(placed(found, Region(piece.start, piece.end)))
        if not words:
            return
        self.words += [word.text for word in words]
        passage = Passage(piece.start, piece.end, words)
        recognizer = self.recognizer
        transcript = Transcript(recognizer.language, recognizer.name, recognizer.punctuated, 1.0, (passage,))
        sentences = segment(transcript, terms=self.settings.terms, max_seconds=self.settings.max_seconds)
        end = time.perf_counter()
        after = end - begin - piece.said_until if self.source.is_live else None
        latency = Latency("text", round(now, 3), end - start, after)
        self.heard = replace(
            self.heard,
            segments=(*self.heard.segments, *sentences),
            latencies=(*self.heard.latencies, latency),
            doubt=self._doubt(),
        )

    def _doubt(self) -> str:
        language = self.recognizer.language
        if len(self.words) < MIN_JUDGED_WORDS:
            return ""
        share = known_share(self.words, language)
        if share >= MIN_KNOWN_SHARE:
            return ""
        return (
            f"what is recognised is not {language!r}: {100 * share:.0f} % of its letters stand in known "
            "words; there are no key points of it"
        )

    def _start(self, worker: ThreadPoolExecutor) -> None:
        """Begin an update of the key points where there are new sentences and none is under way."""
        segments = self.heard.segments
        if self.update is not None or len(segments) == self.num_told or self.heard.doubt:
            return
        self.num_told, self.told_at = len(segments), self.heard.seconds
        self.update = worker.submit(self._points_of, segments, self.heard.seconds)

    def _points_of(self, segments: Sequence[Segment], at: float) -> tuple[Points, Latency]:
        start = time.perf_counter()
        found = self.points.update(segments)
        return found, Latency("points", round(at, 3), time.perf_counter() - start)

    def _collect(self, *, wait: bool) -> None:
        if self.update is None or not (wait or self.update.done()):
            return
        found, latency = self.update.result()
        self.update = None
        self.heard = replace(self.heard, points=found, latencies=(*self.heard.latencies, latency))
