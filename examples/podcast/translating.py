"""The stage that translates; which translator does it is the caller's choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from examples.podcast.plain_text import plain
from examples.podcast.records import Segment, Translation
from trtforge._progress import OnProgress
from trtforge.errors import ConfigError


class Translated(Protocol):
    """A sentence in the other language, and which glossary terms it kept and lost."""

    @property
    def text(self) -> str:
        """The translation."""
        ...

    @property
    def terms_kept(self) -> Sequence[str]:
        """Terms of the source that stand in the translation as the glossary asks."""
        ...

    @property
    def terms_lost(self) -> Sequence[str]:
        """Terms of the source that do not."""
        ...


class Interpreter(Protocol):
    """What translates sentences into one language.

    Attributes
    ----------
    language : BCP 47 tag of what it writes.
    digest : of all that its answers depend on.
    """

    language: str
    digest: str

    def translate(self, sentences: Sequence[str], on_progress: OnProgress) -> Sequence[Translated]:
        """Return one translation for each sentence."""
        ...


def translate(segments: Sequence[Segment], interpreter: Interpreter, on_progress: OnProgress) -> Translation:
    """Translate each segment and count the glossary terms that were kept.

    Raises
    ------
    ConfigError : the interpreter gave another number of sentences than it took.
    """
    found = interpreter.translate([segment.text for segment in segments], on_progress)
    if len(found) != len(segments):
        raise ConfigError(f"{len(segments)} sentences were to be translated, {len(found)} came back")
    kept = sum(len(sentence.terms_kept) for sentence in found)
    lost = sum(len(sentence.terms_lost) for sentence in found)
    texts = tuple(plain(sentence.text) for sentence in found)
    return Translation(interpreter.language, texts, kept + lost, kept)
