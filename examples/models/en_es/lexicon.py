"""The word lists of the grammar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PERSONS = {"I": 1, "you": 2, "it": 3, "we": 4, "they": 6}


@dataclass(frozen=True)
class Noun:
    """A noun, for one and for many, with its Spanish gender."""

    kinds: tuple[str, ...]
    english: tuple[str, str]
    spanish: tuple[str, str]
    gender: str

    @property
    def can_be_many(self) -> bool:
        """Whether it can be counted."""
        return self.english[1] != "-"


@dataclass(frozen=True)
class Adjective:
    """An adjective with its four Spanish forms."""

    kind: str
    english: str
    spanish: tuple[str, ...]
    is_before: bool

    def form(self, gender: str, is_many: bool) -> str:
        """Return the Spanish form that agrees."""
        return self.spanish[2 * is_many + (gender == "f")]


@dataclass(frozen=True)
class Verb:
    """A verb: English base, past and participle; Spanish infinitive and irregular forms."""

    kinds: tuple[str, ...]
    english: tuple[str, str, str]
    spanish: str
    irregular: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Word:
    """Words that do not change."""

    english: str
    spanish: str


@dataclass(frozen=True)
class Lexicon:
    """All lists."""

    nouns: tuple[Noun, ...]
    adjectives: tuple[Adjective, ...]
    verbs: tuple[Verb, ...]
    words: dict[str, tuple[Word, ...]]

    @classmethod
    def load(cls, folder: Path) -> Lexicon:
        """Read the lists of a folder."""
        nouns = tuple(
            Noun(tuple(kinds.split()), _two(english), _two(spanish), gender)
            for kinds, english, spanish, gender in rows(folder / "nouns.tsv")
        )
        adjectives = []
        for kind, english, spanish in rows(folder / "adjectives.tsv"):
            forms = [_plain(form) for form in spanish.split()]
            adjectives.append(Adjective(kind, _plain(english), tuple(forms[:4]), forms[4:] == ["p"]))
        verbs = []
        for kinds, english, spanish in rows(folder / "verbs.tsv"):
            base, past, participle = english.split()
            infinitive, *irregular = spanish.split()
            pairs = tuple((pair.split("=")[0], pair.split("=")[1]) for pair in irregular)
            verbs.append(Verb(tuple(kinds.split()), (base, past, participle), infinitive, pairs))
        words: dict[str, list[Word]] = {}
        for kind, english, spanish in rows(folder / "words.tsv"):
            words.setdefault("person2" if kind == "person" else kind, []).append(Word(english, spanish))
        return cls(
            nouns, tuple(adjectives), tuple(verbs), {kind: tuple(found) for kind, found in words.items()}
        )

    def noun(self, kinds: list[str], rng: np.random.Generator, *, need_many: bool = False) -> Noun:
        """Draw a noun of one of these kinds."""
        found = [
            noun
            for noun in self.nouns
            if set(kinds) & set(noun.kinds) and (noun.can_be_many or not need_many)
        ]
        return found[rng.integers(len(found))]

    def adjective(self, kind: str, rng: np.random.Generator, *, only_after: bool = False) -> Adjective:
        """Draw an adjective for nouns of this kind."""
        found = [
            adjective
            for adjective in self.adjectives
            if adjective.kind in ("any", kind) and not (only_after and adjective.is_before)
        ]
        return found[rng.integers(len(found))]

    def verb(self, kinds: list[str], rng: np.random.Generator) -> Verb:
        """Draw a verb of one of these kinds."""
        found = [verb for verb in self.verbs if set(kinds) & set(verb.kinds)]
        return found[rng.integers(len(found))]

    def word(self, kind: str, rng: np.random.Generator) -> Word:
        """Draw words of this kind."""
        found = self.words[kind]
        return found[rng.integers(len(found))]


def rows(path: Path) -> Iterator[list[str]]:
    """Read the fields of each line that is no comment."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


def _two(forms: str) -> tuple[str, str]:
    one, many = forms.split()
    return _plain(one), _plain(many)


def _plain(form: str) -> str:
    return form.replace("_", " ")
