import math

import pytest

from trtforge.accuracy import ErrorCounts, character_errors, normalize_text, word_errors
from trtforge.accuracy.wer import total


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts"),
    [
        ("the cat sat down", "the cat sat down", (4, 0, 0, 0)),
        ("the cat sat down", "the bat sat", (2, 1, 1, 0)),
        ("the cat sat", "oh the cat sat", (3, 0, 0, 1)),
        ("one two", "", (0, 0, 2, 0)),
        ("", "ghost words", (0, 0, 0, 2)),
        ("  ", "", (0, 0, 0, 0)),
        ("The  CAT\tsat", "the cat sat", (3, 0, 0, 0)),
    ],
)
def test_word_errors_by_hand(reference, hypothesis, counts):
    assert word_errors(reference, hypothesis) == ErrorCounts(*counts)


def test_rate_has_its_counts_beside_it():
    counts = word_errors("the cat sat down", "the bat sat")
    assert (counts.num_errors, counts.num_reference, counts.rate) == (2, 4, 0.5)
    assert math.isnan(word_errors("", "ghost").rate)


def test_character_errors_count_spaces():
    assert character_errors("ab cd", "abcd") == ErrorCounts(hits=4, deletions=1)
    assert character_errors("", "ab") == ErrorCounts(insertions=2)
    assert character_errors("kitten", "sitting").num_errors == 3


def test_the_sum_weighs_clips_by_their_words():
    # 1 of 1 and 0 of 9: 10 % together, not the mean of 100 % and 0 %
    assert total([word_errors("a", "b"), word_errors("a " * 9, "a " * 9)]).rate == 0.1
    # words over an empty reference add errors and no words
    assert total([word_errors("", "x"), word_errors("a b", "a b")]).rate == 0.5


def test_normalization_is_stated_and_can_be_replaced():
    assert normalize_text(" Hello,\n  World! ") == "hello, world!"
    assert word_errors("Hello, world", "hello world").num_errors == 1
    strip = lambda text: text.lower().replace(",", " ")  # noqa: E731
    assert word_errors("Hello, world", "hello world", normalize=strip).num_errors == 0


def test_an_accent_counts_alike_in_either_form_and_an_apostrophe_does_not():
    assert word_errors("Café", "cafe\u0301") == ErrorCounts(hits=1)
    assert character_errors("café", "CAFE\u0301") == ErrorCounts(hits=4)
    assert word_errors("don’t", "don't").num_errors == 1  # noqa: RUF001


def test_counts_survive_json():
    counts = ErrorCounts(1, 2, 3, 4)
    assert ErrorCounts.from_json(counts.to_json()) == counts
