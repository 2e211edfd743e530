"""Parallel English and Spanish sentences from templates and word lists that we wrote.

A template is a pair of sentences with slots:

``{a:tool part/d}``
    takes a noun of one of these kinds (``nouns.tsv``) with article and perhaps an adjective; after the stroke
    stands d for definite, s for one, as for "a", p for many without article, b for bare. Kinds of
    ``words.tsv`` give words.
``{a}``
    the same in Spanish; ``{a/d}`` gives a bare noun its article.
``{a?is|are}``
    agrees with the noun of ``a``: two words for one and many, four for Spanish gender and number.
``{v:system|pres@a}``
    takes a verb (``verbs.tsv``) in a form, agreeing with ``a``, or with we, you, I, they, it.
``{x:adj}``, ``{x@a}``
    takes an adjective; in Spanish it agrees with ``a``.

A third column m or f keeps the template for a first noun of that gender.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from examples.models.en_es.conjugation import SpanishVerb, english_form
from examples.models.en_es.lexicon import PERSONS, Adjective, Lexicon, Noun, Verb, rows

FOLDER = Path(__file__).parent
PLACEHOLDERS = tuple(f"<t{number}>" for number in range(1, 7))

_DETERMINERS = (
    # English for one and many, Spanish, for which numbers; weight
    ("the", "the", ("el", "la", "los", "las"), 10),
    ("a", None, ("un", "una", "", ""), 5),
    ("our", "our", ("nuestro", "nuestra", "nuestros", "nuestras"), 2),
    ("your", "your", ("tu", "tu", "tus", "tus"), 2),
    ("this", "these", ("este", "esta", "estos", "estas"), 2),
    ("that", "those", ("ese", "esa", "esos", "esas"), 1),
    ("each", None, ("cada", "cada", "", ""), 1),
    ("every", None, ("cada", "cada", "", ""), 1),
    (None, "many", ("", "", "muchos", "muchas"), 1),
    (None, "some", ("", "", "algunos", "algunas"), 1),
    (None, "all the", ("", "", "todos los", "todas las"), 1),
    (None, "several", ("", "", "varios", "varias"), 0.5),
)  # fmt: skip
_WEIGHTS = np.array([row[3] for row in _DETERMINERS]) / sum(row[3] for row in _DETERMINERS)
_SLOT = re.compile(r"\{(\w+)([:/?|@][^}]*)?\}")
_VOWEL_SOUND = re.compile(
    r"(?!uni|use|one|eu|UN)(?:[aeiou]|FP|INT|ONNX|RSS|H\d|hour|SR|8|F\d)", re.IGNORECASE
)


@dataclass(frozen=True)
class Phrase:
    """What a slot took, in both languages, with what agrees with it."""

    english: str
    spanish: str
    gender: str = "m"
    is_many: bool = False
    noun: Noun | None = None
    verb: Verb | None = None
    adjective: Adjective | None = None
    person: int = 3

    def choose(self, options: list[str]) -> str:
        """Choose among two or four forms."""
        if len(options) == 2:
            return options[self.is_many]
        return options[2 * self.is_many + (self.gender == "f")]


class Grammar:
    """Draws pairs of sentences.

    Parameters
    ----------
    templates : pairs with slots and, or "", the gender they are kept for.
    lexicon : what fills the slots.
    """

    def __init__(self, templates: list[tuple[str, str, str]], lexicon: Lexicon) -> None:
        self.templates = templates
        self.lexicon = lexicon

    @classmethod
    def load(cls, *names: str) -> Grammar:
        """Read templates from files of this folder."""
        found = [(*row, "")[:3] for name in names for row in rows(FOLDER / name)]
        return cls([(row[0], row[1], row[2]) for row in found], Lexicon.load(FOLDER))

    def pair(self, index: int, rng: np.random.Generator, placeholders: float = 0.0) -> tuple[str, str]:
        """Fill template ``index``; names become placeholders with this probability."""
        english, spanish, gender = self.templates[index]
        for _ in range(100):
            slots: dict[str, Phrase] = {}
            masked = iter(PLACEHOLDERS) if rng.random() < placeholders else iter(())
            text = _SLOT.sub(partial(self._fill, slots=slots, rng=rng, masked=masked), english)
            first = next((phrase for phrase in slots.values() if phrase.noun is not None), None)
            if not gender or first is None or first.gender == gender:
                other = _SLOT.sub(partial(_agree, slots=slots, english=False), spanish)
                return finish_english(text), finish_spanish(other)
        raise ValueError(f"no noun fits template {english!r}")

    def _fill(
        self,
        match: re.Match[str],
        slots: dict[str, Phrase],
        rng: np.random.Generator,
        masked: Iterator[str],
    ) -> str:
        name, rest = match[1], match[2] or ""
        if not rest.startswith(":"):
            return _agree(match, slots=slots, english=True)
        kinds, _, form = rest[1:].partition("|")
        if form:
            verb = self.lexicon.verb(kinds.split(), rng)
            slots[name] = Phrase("", "", verb=verb)
            return _conjugate(slots[name], form, slots, english=True)
        kinds, _, how = kinds.partition("/")
        slots[name] = self._take(kinds.split(), how, rng, masked)
        return slots[name].english

    def _take(self, kinds: list[str], how: str, rng: np.random.Generator, masked: Iterator[str]) -> Phrase:
        if kinds[0] in ("adj", "adjp"):
            adjective = self.lexicon.adjective("any", rng, only_after=True)
            return Phrase(adjective.english, adjective.form("m", kinds[0] == "adjp"), adjective=adjective)
        if kinds[0] in self.lexicon.words:
            word = self.lexicon.word(kinds[0], rng)
            hidden = next(masked, None) if kinds[0] in ("name", "kind") else None
            return Phrase(hidden or word.english, hidden or word.spanish)
        noun = self.lexicon.noun(kinds, rng, need_many=how == "p")
        hidden = next(masked, None) if rng.random() < 0.6 and noun.can_be_many else None
        if hidden is not None:
            noun = Noun(noun.kinds, (hidden, hidden), (hidden, hidden), "m")
        return noun_phrase(noun, how, self.lexicon, rng)


def noun_phrase(noun: Noun, how: str, lexicon: Lexicon, rng: np.random.Generator) -> Phrase:
    """Give a noun its article, its number and sometimes an adjective."""
    if how in ("b", "p"):
        english, spanish, is_many = "", "", how == "p"
    elif not noun.can_be_many or how in ("d", "s", "as"):
        is_many = how == "d" and noun.can_be_many and rng.random() < 0.35
        row = _DETERMINERS[1 if how == "as" and noun.can_be_many else 0]
        english, spanish = str(row[is_many]), row[2][2 * is_many + (noun.gender == "f")]
    else:
        while True:
            row = _DETERMINERS[rng.choice(len(_DETERMINERS), p=_WEIGHTS)]
            is_many = bool(rng.random() < 0.4)
            if row[is_many] is not None:
                break
        english, spanish = str(row[is_many]), row[2][2 * is_many + (noun.gender == "f")]
    words, palabras = [english, noun.english[is_many]], [spanish, noun.spanish[is_many]]
    if how != "b" and rng.random() < 0.22:
        adjective = lexicon.adjective(noun.kinds[0], rng, only_after=how in ("p", "as"))
        words.insert(1, adjective.english)
        palabras.insert(1 if adjective.is_before else 2, adjective.form(noun.gender, is_many))
    return Phrase(" ".join(filter(None, words)), " ".join(filter(None, palabras)), noun.gender, is_many, noun)


def _agree(match: re.Match[str], *, slots: dict[str, Phrase], english: bool) -> str:
    name, rest = match[1], match[2] or ""
    phrase = slots[name]
    if rest.startswith("?"):
        return phrase.choose(rest[1:].split("|"))
    if rest.startswith("|"):
        return _conjugate(phrase, rest[1:], slots, english=english)
    if rest.startswith("@"):
        other = slots.get(rest[1:])
        adjective = phrase.adjective
        if adjective is None:
            raise ValueError(f"{match[0]} is no adjective")
        return adjective.form(other.gender if other else "m", other.is_many if other else False)
    if rest == "/d":
        return f"{'la' if phrase.gender == 'f' else 'el'} {phrase.spanish}"
    if rest == "/a":
        return f"a {phrase.spanish}"
    return phrase.english if english else phrase.spanish


def _conjugate(phrase: Phrase, form: str, slots: dict[str, Phrase], *, english: bool) -> str:
    if phrase.verb is None:
        raise ValueError(f"a slot with the form {form!r} is no verb")
    form, _, subject = form.partition("@")
    agreeing = slots.get(subject)
    person = PERSONS.get(subject, 6 if agreeing and agreeing.is_many else 3)
    if english:
        return english_form(phrase.verb.english, form, person)
    word = SpanishVerb(phrase.verb.spanish, dict(phrase.verb.irregular)).form(form, person)
    if form == "part" and agreeing is not None:
        word = word[:-1] + ("a" if agreeing.gender == "f" else "o") + ("s" if agreeing.is_many else "")
    return word


def finish_english(text: str) -> str:
    """Choose a or an, raise the first letter."""
    text = re.sub(
        r"\b([Aa]) (\w+)",
        lambda match: f"{match[1]}{'n' if _VOWEL_SOUND.match(match[2]) else ''} {match[2]}",
        text,
    )
    return capitalise(text)


def finish_spanish(text: str) -> str:
    """Contract articles, raise the first letter, also after an opening question mark."""
    text = re.sub(r"\b([Dd])e el\b", r"\1el", text)
    text = re.sub(r"\b([Aa]) el\b", r"\1l", text)
    text = re.sub(r"\by (?=(?:i|hi)[^aeo])", "e ", text)
    return capitalise(text)


def capitalise(text: str) -> str:
    """Raise the first letter."""
    if text.startswith("trtforge"):
        return text
    index = next((at for at, letter in enumerate(text) if letter.isalpha() or letter == "<"), 0)
    return text[:index] + text[index : index + 1].upper() + text[index + 1 :]
