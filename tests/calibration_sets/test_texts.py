from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import combinations, islice
from pathlib import Path
from random import Random

import pytest

from calibration_sets.synthesis import texts
from calibration_sets.synthesis.texts import normalise, sentences, training_sentences, vocabulary

FOLDER = Path(texts.__file__).with_name("sentences")
SPLITS = ("calibration", "test")


@pytest.fixture(scope="module")
def drawn() -> list[str]:
    return list(islice(training_sentences(seed=7), 80_000))


@pytest.fixture(scope="module")
def transcripts(drawn: list[str]) -> list[str]:
    return [normalise(text) for text in drawn]


def handwritten(name: str) -> list[str]:
    return (FOLDER / f"{name}.txt").read_text(encoding="ascii").splitlines()


def word_runs(lines: Iterable[str], length: int) -> set[tuple[str, ...]]:
    words = [normalise(line).split() for line in lines]
    return {tuple(line[i : i + length]) for line in words for i in range(len(line) - length + 1)}


@pytest.mark.parametrize(
    ("text", "transcript"),
    [
        ("Well, the GPU isn't idle.", "well the gpu isn't idle"),
        ("A real-time  engine?\n", "a real time engine"),
        ("", ""),
    ],
)
def test_transcripts_hold_letters_apostrophes_and_single_spaces(text: str, transcript: str) -> None:
    assert normalise(text) == transcript


@pytest.mark.parametrize("character", ["8", "%", "é", '"', "\u2019"])
def test_an_unspeakable_character_is_named(character: str) -> None:
    with pytest.raises(ValueError, match=f"cannot say {re.escape(repr(character))}"):
        normalise(f"about {character} of them")


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(ValueError, match="not 'training'"):
        sentences("training")  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "at_least"), [("calibration", 215), ("test", 265), ("clauses", 500)])
def test_there_are_enough_handwritten_sentences_and_none_occurs_twice(name: str, at_least: int) -> None:
    lines = [normalise(line) for line in handwritten(name)]
    assert len(lines) == len(set(lines)) >= at_least


@pytest.mark.parametrize("split", SPLITS)
def test_fixed_sentences_are_spoken_in_a_few_seconds(split: str) -> None:
    counts = [len(normalise(line).split()) for line in sentences(split)]
    assert min(counts) >= 6
    assert max(counts) <= 17
    assert 8 <= sum(counts) / len(counts) <= 14


@pytest.mark.parametrize("pair", list(combinations(("calibration", "test", "clauses"), 2)), ids="-".join)
def test_no_two_handwritten_files_share_five_words_in_a_row(pair: tuple[str, str]) -> None:
    first, second = (word_runs(handwritten(name), 5) for name in pair)
    assert first & second == set()


@pytest.mark.parametrize("split", SPLITS)
def test_training_knows_nearly_all_running_words(split: str) -> None:
    running = [word for line in sentences(split) for word in normalise(line).split()]
    assert sum(word in vocabulary() for word in running) / len(running) >= 0.97


def test_the_vocabulary_and_the_templates_are_large() -> None:
    assert len(vocabulary()) >= 4000
    assert len(set(handwritten("templates"))) >= 200


def test_every_word_of_the_vocabulary_is_drawn_often(transcripts: list[str]) -> None:
    counts = Counter(word for line in transcripts for word in line.split())
    assert counts.keys() == vocabulary()
    assert min(counts.values()) >= 15


def test_sentences_hardly_ever_repeat(transcripts: list[str]) -> None:
    assert len(set(transcripts[:50_000])) / 50_000 > 0.95


def test_two_seeds_reach_a_hundred_thousand_distinct_sentences(transcripts: list[str]) -> None:
    more = map(normalise, islice(training_sentences(seed=8), 40_000))
    assert len({*transcripts, *more}) >= 100_000


def test_drawn_sentences_have_four_to_eighteen_words(transcripts: list[str]) -> None:
    counts = {line.count(" ") + 1 for line in transcripts}
    assert min(counts) == 4
    assert max(counts) <= 18


def test_no_fixed_sentence_occurs_in_a_drawn_one(transcripts: list[str]) -> None:
    corpus = "\n".join(transcripts)
    held_out = [normalise(line) for split in SPLITS for line in sentences(split)]
    assert [line for line in held_out if line in corpus] == []


def test_a_fixed_sentence_is_rejected_when_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    known = set(islice(training_sentences(seed=3), 2000))
    monkeypatch.setattr(texts, "sentences", lambda split: tuple(known))
    remaining = set(islice(training_sentences(seed=3), 2000))
    assert remaining.isdisjoint(known)


def test_a_seed_fixes_the_stream(drawn: list[str]) -> None:
    assert list(islice(training_sentences(seed=7), 300)) == drawn[:300]
    assert list(islice(training_sentences(seed=8), 300)) != drawn[:300]


def test_acronyms_keep_their_capitals_and_no_slot_stays_open(drawn: list[str]) -> None:
    spoken = " ".join(drawn)
    assert re.search(r"\bGPU\b", spoken)
    assert re.search(r"\bgpu\b", spoken) is None
    assert re.search(r"[{}_/]", spoken) is None


def test_articles_of_filled_templates_agree() -> None:
    random = Random(5)  # noqa: S311 - reproducible, not secret
    filled = " ".join(texts._fill(random) for _ in range(30_000))
    assert set(re.findall(r"\b[Aa]n (unit|user|one|university|uniform|useful|GPU|car)\b", filled)) == set()
    assert set(re.findall(r"\b[Aa] (apple|engine|owl|umbrella|hour|honest|RTX|SDK)\b", filled)) == set()
    assert {"an owner", "an umbrella", "a uniform"} <= set(re.findall(r"\ban? \w+", filled))
