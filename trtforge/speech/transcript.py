"""What was recognised: words, pieces of text, and the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trtforge.units import Seconds

# Written without spaces between words.
UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})


@dataclass(frozen=True)
class Word:
    """A word and when it was said.

    Parameters
    ----------
    text : the word.
    start, end : of CTC networks, from the first output frame of its first symbol to the end of the last frame
        of its last symbol. CTC places symbols where it is sure of them, not where sounds begin and end:
        expect words to look shorter than they are. Of Whisper, from where its attention turned to the word
        to where it turned to the next.
    probability : geometric mean over its symbols, where the network gives one.
    """

    text: str
    start: Seconds
    end: Seconds
    probability: float | None = None


@dataclass(frozen=True)
class Segment:
    """A piece of a recording that was recognised at once.

    Parameters
    ----------
    start, end : in the recording.
    text : with punctuation.
    mean_log_probability : of its symbols, natural logarithm.
    compression_ratio : of its text; above 2.4 it most likely repeats itself.
    no_speech_probability : that nobody speaks, as the network sees it.
    temperature : at which it was drawn; 0 is greedy.
    """

    start: Seconds
    end: Seconds
    text: str
    mean_log_probability: float
    compression_ratio: float
    no_speech_probability: float
    temperature: float


@dataclass(frozen=True)
class Transcript:
    """What was recognised.

    Parameters
    ----------
    words : in order, with their times.
    duration : of the recording.
    segments : the pieces, of networks that write punctuation.
    language : code, where the network tells languages apart.
    language_probability : of it, where it was found and not given.
    """

    words: tuple[Word, ...]
    duration: Seconds
    segments: tuple[Segment, ...] = ()
    language: str | None = None
    language_probability: float | None = None

    @property
    def text(self) -> str:
        """The segments, or the words where there are none, joined by spaces where the language has them."""
        parts = [part.text for part in (self.segments or self.words)]
        return ("" if self.language in UNSPACED else " ").join(parts)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; times in seconds."""
        return {
            "text": self.text,
            "duration": float(self.duration),
            "language": self.language,
            "language_probability": self.language_probability,
            "segments": [
                {**vars(segment), "start": float(segment.start), "end": float(segment.end)}
                for segment in self.segments
            ],
            "words": [
                {**vars(word), "start": float(word.start), "end": float(word.end)} for word in self.words
            ],
        }
