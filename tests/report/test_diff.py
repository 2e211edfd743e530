import pytest

from trtforge.accuracy import word_errors
from trtforge.report.diff import align_words


def kinds(reference, hypothesis):
    return [(word.kind, word.said, word.heard) for word in align_words(reference, hypothesis)]


def test_by_hand():
    assert kinds("the cat sat", "the bat sat down") == [
        ("hit", "the", "the"),
        ("substitution", "cat", "bat"),
        ("hit", "sat", "sat"),
        ("insertion", "", "down"),
    ]
    assert kinds("one two", "two") == [("deletion", "one", ""), ("hit", "two", "two")]
    assert kinds("", "") == []


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [
        ("a b c d e", "b c x e f"),
        ("a a b", "b a a"),
        ("", "x y"),
        ("x y", ""),
        ("k i t t e n", "s i t t i n g"),
    ],
)
def test_as_many_marks_as_errors_are_counted(reference, hypothesis):
    marked = [word for word in align_words(reference, hypothesis) if word.kind != "hit"]
    assert len(marked) == word_errors(reference, hypothesis).num_errors
