"""Write the sentences that a synthesiser speaks: two fixed splits and an endless training stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random
from typing import Literal

_FOLDER = Path(__file__).with_name("sentences")
_SILENT = re.compile(r"[\s,.?!;:-]+")
_UNSPEAKABLE = re.compile(r"[^A-Za-z'\s,.?!;:-]")
_SLOT = re.compile(r"\{([A-Za-z_.]+)\}")
# "an hour", "an RTX card", but "a unit", "a user", "a euro", "a one".
_AN = re.compile(r"\b([Aa])(?= (?:[ai]|e(?!u)|o(?!ne\b)|u(?!ni|s|t|r)|hour|hon|[AEFHILMNORSX][A-Z]))")
# A noun is listed with its plural; a verb with its -s form, past, participle and -ing form.
_FORMS = ("", ".s", ".ed", ".en", ".ing")


def normalise(text: str) -> str:
    """Turn text into the transcript of its spoken form.

    Parameters
    ----------
    text : letters, apostrophes, white space and the marks ``, . ? ! ; : -``.

    Returns
    -------
    Lower-case words of a to z and apostrophe, one space between them; hyphens part words.

    Raises
    ------
    ValueError : another character occurs; numbers and symbols must be spelled out.
    """
    if found := _UNSPEAKABLE.search(text):
        raise ValueError(
            f"a transcript holds a-z, apostrophe, space: cannot say {found.group()!r} in {text!r}"
        )
    return _SILENT.sub(" ", text.lower()).strip()


@cache
def sentences(split: Literal["calibration", "test"]) -> tuple[str, ...]:
    """Read the sentences of a fixed split, as written, in the order of the file."""
    if split not in ("calibration", "test"):
        raise ValueError(f"split is 'calibration' or 'test', not {split!r}")
    return _lines(f"{split}.txt")


@cache
def vocabulary() -> frozenset[str]:
    """Collect the transcript words of which training sentences are made."""
    return frozenset(_spoken_forms())


def training_sentences(seed: int) -> Iterator[str]:
    """Yield training sentences without end, the same ones for the same seed.

    Of a hundred, 60 fill a template, 20 are hand-written, most with an opening or closing phrase, 5 join
    parts of two such, 15 are words in random order, dealt so that all come up equally often. None has the
    transcript of a calibration or test sentence.

    Yields
    ------
    A sentence of 4 to 18 words, with capitals and punctuation for the synthesiser.
    """
    random = Random(seed)  # noqa: S311 - reproducible, not secret
    held_out, dealt = set(map(normalise, sentences("calibration") + sentences("test"))), _deal(random)
    while True:
        draw = random.random()
        if draw < 0.15:
            text = " ".join(islice(dealt, random.randint(6, 13)))
        else:
            text = _splice(random) if draw < 0.20 else _frame(random) if draw < 0.40 else _fill(random)
        if 3 <= text.count(" ") <= 17 and normalise(text) not in held_out:
            yield text


def _fill(random: Random) -> str:
    template = random.choice(_templates())
    text = "".join(part if isinstance(part, str) else random.choice(part) for part in template)
    return _AN.sub(r"\1n", text)


def _frame(random: Random) -> str:
    text = random.choice(_lines("clauses.txt"))
    draw = random.random()
    if draw < 0.15 or text.endswith("?"):
        return text
    if draw < 0.75:
        first, _, rest = text.partition(" ")
        text = f"{random.choice(_banks()['opener'])} {_uncapitalise(first)} {rest}"
    return text if draw < 0.5 else f"{text[:-1]}, {random.choice(_banks()['closer'])}."


def _splice(random: Random) -> str:
    head, tail = (random.choice(_lines("clauses.txt"))[:-1].split() for _ in range(2))
    return " ".join(head[: random.randint(2, 7)] + tail[-random.randint(2, 7) :]) + "."


def _deal(random: Random) -> Iterator[str]:
    deck = sorted(_spoken_forms().values())
    while True:
        random.shuffle(deck)
        yield from deck


def _uncapitalise(word: str) -> str:
    keep = word == "I" or word.startswith("I'") or word[1:2].isupper()
    return word if keep else word[0].lower() + word[1:]


@cache
def _lines(name: str) -> tuple[str, ...]:
    return tuple((_FOLDER / name).read_text(encoding="ascii").splitlines())


@cache
def _templates() -> tuple[tuple[str | tuple[str, ...], ...], ...]:
    lines = [_SLOT.split(line) for line in _lines("templates.txt")]
    return tuple(tuple(_banks()[part] if i % 2 else part for i, part in enumerate(line)) for line in lines)


@cache
def _banks() -> dict[str, tuple[str, ...]]:
    """Read the phrases of each slot: ``go``, the forms ``go.s`` to ``go.ing``, and ``Go`` to begin with."""
    banks: dict[str, list[str]] = {}
    for line in _lines("words.txt"):
        if line.startswith("["):
            name = line.strip("[]")
            continue
        for entry in line.split():
            for form, phrase in zip(_FORMS, entry.split("/"), strict=False):
                words = phrase.replace("_", " ")
                banks.setdefault(name + form, []).append(words)
                banks.setdefault(name.capitalize() + form, []).append(words[0].upper() + words[1:])
    return {slot: tuple(dict.fromkeys(phrases)) for slot, phrases in banks.items()}


@cache
def _spoken_forms() -> dict[str, str]:
    """Map each transcript word to the form that the synthesiser reads; acronyms keep their capitals."""
    texts = [*_lines("clauses.txt"), *(_SLOT.sub(" ", line) for line in _lines("templates.txt"))]
    texts += [phrase for slot, phrases in _banks().items() if slot.islower() for phrase in phrases]
    words = {word for text in texts for word in _SILENT.sub(" ", text).split()}
    return {word.lower(): _uncapitalise(word) for word in sorted(words, reverse=True)}
