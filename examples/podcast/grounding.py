"""Whether a written sentence says what was said: so an invented one is told from a summary."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from examples.podcast.keywords import stop_words

MIN_SAID = 0.6

_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
# Endings differ between what was said and how it is told.
_STEM_CHARS = 5


def said_words(texts: Iterable[str]) -> frozenset[str]:
    """Return the beginnings of all words of a transcript, in lower case."""
    return frozenset(_stem(word) for text in texts for word in _WORD.findall(text))


def said_share(sentence: str, said: Collection[str]) -> float:
    """Return the share of a sentence's words that were said, without stop words; 0 where it has no others.

    Parameters
    ----------
    sentence : what a network wrote.
    said : what `said_words` returned.
    """
    words = [word for word in _WORD.findall(sentence) if word.lower() not in stop_words()]
    return sum(_stem(word) in said for word in words) / len(words) if words else 0.0


def _stem(word: str) -> str:
    return word.lower()[:_STEM_CHARS]
