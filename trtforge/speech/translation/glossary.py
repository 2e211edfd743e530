"""Terms whose translation is settled beforehand."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trtforge.errors import ConfigError

# Letters of scripts without spaces between words: kana and ideographs; Thai and Lao, Burmese, Khmer.
IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED = f"{IDEOGRAPHS}\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"


@dataclass(frozen=True)
class Term:
    """One term.

    Parameters
    ----------
    source : as it is written in the source language; runs of white space match each other.
    target : as it must be written in the translation; None leaves it as ``source`` has it.
    match_case : whether only ``source``'s own letter case is the term. None asks it where ``source`` has a
        capital, so that "RAM" is a term and "ram" is not, and "Tensor core" is found by "tensor core".
    """

    source: str
    target: str | None = None
    match_case: bool | None = None

    def __post_init__(self) -> None:
        for name, text in (("source", self.source), ("target", self.target)):
            if text is not None and not text.strip():
                raise ConfigError(f"a term's {name} is empty: {self!r}", settings=("glossary",))

    @property
    def rendering(self) -> str:
        """What the translation must hold."""
        return " ".join((self.source if self.target is None else self.target).split())

    @property
    def asks_case(self) -> bool:
        """Whether letter case must match."""
        return self.source != self.source.lower() if self.match_case is None else self.match_case


@dataclass(frozen=True)
class Match:
    """A term found in a sentence.

    Parameters
    ----------
    term : the term.
    begin, end : where, in characters.
    """

    term: Term
    begin: int
    end: int


@dataclass(frozen=True)
class Glossary:
    """Terms to find in sentences and to keep in their translations.

    Parameters
    ----------
    terms : no two with the same ``source`` but for case that both match.
    keep_order : whether terms must come in the translation in the order of the source; languages order words
        differently, so by default the order is reported and not asked.

    Raises
    ------
    ConfigError : a term is empty or is there twice.
    """

    terms: tuple[Term, ...]
    keep_order: bool = False

    def __post_init__(self) -> None:
        seen: dict[str, Term] = {}
        for term in self.terms:
            words = " ".join(term.source.split())
            key = words if term.asks_case else words.lower()
            if key in seen:
                raise ConfigError(
                    f"the glossary has {term.source!r} twice: as {seen[key].rendering!r} and as "
                    f"{term.rendering!r}",
                    settings=("glossary",),
                )
            seen[key] = term

    @classmethod
    def of(cls, terms: Iterable[str] | Mapping[str, str | None], *, keep_order: bool = False) -> Glossary:
        """Make a glossary of words to leave as they are, or of words and what to write for them."""
        if isinstance(terms, Mapping):
            return cls(tuple(Term(source, target) for source, target in terms.items()), keep_order)
        return cls(tuple(Term(source) for source in terms), keep_order)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, keep_order: bool = False) -> Glossary:
        """Read a text file: a term a line, after a tab what to write for it; ``#`` begins a comment.

        Raises
        ------
        ConfigError : the file cannot be read, or a line has more than two fields.
        """
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the glossary cannot be read: {error}", settings=("glossary",)) from error
        terms = []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            fields = [field.strip() for field in line.split("\t")]
            if len(fields) > 2:
                raise ConfigError(
                    f"{path}, line {number}: a term and at most one rendering were expected, "
                    f"got {len(fields)} fields",
                    hint="write TERM, or TERM, a tab, and what to write for it",
                    settings=("glossary",),
                )
            terms.append(Term(fields[0], fields[1] if len(fields) == 2 and fields[1] else None))
        return cls(tuple(terms), keep_order)

    def find(self, sentence: str) -> tuple[Match, ...]:
        """Find terms at word boundaries, from the left; where several begin, the longest is taken.

        Of two that are as long, one that asks for its letter case goes before one that does not.

        Returns
        -------
        Matches in order, none overlapping another.
        """
        found: list[Match] = []
        begin = 0
        while True:
            hits = [
                (hit.start(), hit.start() - hit.end(), index)
                for index, (_, pattern) in enumerate(self._patterns)
                if (hit := pattern.search(sentence, begin)) is not None
            ]
            if not hits:
                return tuple(found)
            start, minus_length, index = min(hits)
            begin = start - minus_length
            found.append(Match(self._patterns[index][0], start, begin))

    @cached_property
    def _patterns(self) -> tuple[tuple[Term, re.Pattern[str]], ...]:
        ordered = sorted(self.terms, key=lambda term: not term.asks_case)
        return tuple((term, word_pattern(term.source, match_case=term.asks_case)) for term in ordered)


def word_pattern(text: str, *, match_case: bool) -> re.Pattern[str]:
    """Compile a pattern of ``text`` at word boundaries; white space matches any white space.

    In scripts without spaces between words there is a boundary beside every letter.
    """
    words = r"\s+".join(re.escape(word) for word in text.split())
    return re.compile(
        rf"(?<![^\W{_UNSPACED}]){words}(?![^\W{_UNSPACED}])", 0 if match_case else re.IGNORECASE
    )
