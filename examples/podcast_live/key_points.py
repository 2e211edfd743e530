"""What was said, in a few lines: by the most central sentences, or by a language model."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from examples.podcast.grounding import MIN_SAID, said_share, said_words
from examples.podcast.records import Segment
from examples.podcast.summary import key_sentences
from trtforge.errors import ConfigError
from trtforge.speech.causal import LanguageModel, Message
from trtforge.speech.generation import NoRepeat

_BULLET = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s*")
_MIN_WORDS = 3
_NO_REPEAT = 8
_SAID_BEFORE = ("This is what is said first.", "This is what is said next.", "And this is the last of it.")


@dataclass(frozen=True)
class Points:
    """Key points of what has been said so far.

    Parameters
    ----------
    texts : the points.
    note : how they were made, in a few words.
    num_unsaid : points that a network wrote and that were left out, since their words were not said.
    """

    texts: tuple[str, ...]
    note: str = ""
    num_unsaid: int = 0


class KeyPoints(Protocol):
    """What finds key points.

    Attributes
    ----------
    name : for people.
    """

    name: str

    def warm_up(self) -> None:
        """Pay what a first update costs beside its work, before anybody speaks."""
        ...

    def update(self, segments: Sequence[Segment]) -> Points:
        """Return the points of all sentences so far; the first are those of the call before, one or more."""
        ...


class CentralSentences:
    """The most central sentences themselves (LexRank): light, needs no network, invents nothing.

    Parameters
    ----------
    limit : most points.
    language, terms : as for `examples.podcast.summary.summarise`.
    """

    name = "the most central sentences"

    def __init__(self, limit: int, *, language: str = "en", terms: Collection[str] = ()) -> None:
        self._limit, self._language, self._terms = limit, language, terms

    def warm_up(self) -> None:
        """Load what ranks sentences."""
        self.update([Segment(at, at + 1.0, text, ()) for at, text in enumerate(_SAID_BEFORE)])

    def update(self, segments: Sequence[Segment]) -> Points:
        """Choose among all sentences anew."""
        found = key_sentences(segments, self._limit, language=self._language, terms=self._terms)
        return Points(tuple(found), f"{len(found)} of {len(segments)} sentences")


class ModelPoints:
    """Points written by a causal language model.

    The transcript stands in the prompt before all that changes, so that an update costs the model only the
    new sentences and the points. Where prompt and points no longer fit its rows, the points so far are kept
    and a new block of the transcript begins. A point of whose words less than 60 % were said is left out.

    Parameters
    ----------
    model : the language model.
    name : of it, for people.
    limit : most points of a block.
    max_new_tokens : symbols of a block's points.

    Raises
    ------
    ConfigError : on `warm_up` and `update`: the model's rows do not hold the prompt and one sentence.
    """

    def __init__(self, model: LanguageModel, *, name: str, limit: int, max_new_tokens: int = 160) -> None:
        self.name, self._model, self._limit, self._max_new_tokens = name, model, limit, max_new_tokens
        self._kept: list[str] = []
        self._begin = 0

    def warm_up(self) -> None:
        """Run the model once; it holds the beginning of the prompt then.

        Raises
        ------
        ConfigError : the model's rows do not hold the prompt and one sentence.
        """
        begin = [Segment(0.0, 1.0, _SAID_BEFORE[0], ())]
        self._fitting(begin)
        self._model.complete([self._prompt([begin[0].text])], max_new_tokens=1)

    def update(self, segments: Sequence[Segment]) -> Points:
        """Write the points of the block that is open, and close it where it is full."""
        fed = held = written = unsaid = 0
        while True:
            end = self._fitting(segments)
            texts = [segment.text for segment in segments[self._begin : end]]
            prompt = self._prompt(texts)
            (found,) = self._model.complete(
                [prompt], max_new_tokens=self._max_new_tokens, pick=NoRepeat(_NO_REPEAT)
            )
            points, dropped = self._read(found.text, texts)
            held += found.num_held_tokens
            fed += found.num_prompt_tokens - found.num_held_tokens
            written, unsaid = written + len(found.tokens), unsaid + dropped
            if end == len(segments):
                note = f"{fed} symbols read, {held} held, {written} written"
                return Points((*self._kept, *points), note, unsaid)
            self._kept += points
            self._begin = end

    def _prompt(self, texts: Sequence[str]) -> list[Message]:
        heard = "\n".join(texts)
        return [
            Message(
                "user",
                "Here is the transcript of a talk that is still going on. Afterwards write its key points: "
                f"at most {self._limit} lines, each a short sentence that begins with a hyphen. Write only "
                f"what was said.\n\nTranscript:\n{heard}\n\nKey points:",
            )
        ]

    def _fitting(self, segments: Sequence[Segment]) -> int:
        """Return the end of the longest run of sentences, from the block's first on, that the rows hold."""
        room = self._model.num_positions - self._max_new_tokens

        def fits(end: int) -> bool:
            texts = [segment.text for segment in segments[self._begin : end]]
            return self._model.count(self._prompt(texts)) <= room

        if fits(len(segments)):
            return len(segments)
        low, high = self._begin, len(segments)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        if low == self._begin:
            raise ConfigError(
                f"the model's rows of {self._model.num_positions} symbols do not hold the prompt, a sentence "
                f"and {self._max_new_tokens} symbols of key points",
                hint="load it with a greater max_positions, or take a checkpoint that has more",
            )
        return low

    def _read(self, text: str, texts: Sequence[str]) -> tuple[list[str], int]:
        """Read the points that the model wrote; those that were not said are counted."""
        said = said_words(texts)
        lines = [_BULLET.sub("", line).strip() for line in text.splitlines()]
        lines = [line for line in dict.fromkeys(lines) if len(line.split()) >= _MIN_WORDS]
        points = [line for line in lines if said_share(line, said) >= MIN_SAID]
        return points[: self._limit], len(lines) - len(points)
