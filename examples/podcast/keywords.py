"""Words and phrases that tell an episode from other texts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from pathlib import Path

from examples.podcast.known_words import is_known
from examples.podcast.records import Keyword, Segment

_MAX_WORDS = 3
_MIN_COUNT = 2
_MARKS = ".,?!…;:\"'()"
# Said often in talk of any kind, and no topic of it; beside the common stop words.
_CHATTER = Path(__file__).with_name("chatter.txt")


def find_keywords(
    segments: Sequence[Segment], *, language: str, limit: int, terms: Collection[str] = ()
) -> tuple[Keyword, ...]:
    """Rank words and phrases of up to three words by how much more often they are said here than elsewhere.

    A word's score is the log-likelihood ratio of its count against its frequency in the language; a phrase
    has the mean of its words' scores, weighted with how often it was said. A word that stands mostly inside
    a phrase that ranks above it is left out.

    Parameters
    ----------
    segments : the episode.
    language : BCP 47 tag.
    limit : most keywords.
    terms : words that count as words, although the language's list has them not. Of all others those that
        are not on it are left out: mostly they are spelling mistakes of the recogniser.

    References
    ----------
    T. Dunning, "Accurate Methods for the Statistics of Surprise and Coincidence", Computational Linguistics
    19(1), 1993. Frequencies: R. Speer, "wordfreq", version 3.
    """
    written: dict[tuple[str, ...], Counter[str]] = {}
    for text in (segment.text for segment in segments):
        for phrase in _phrases(text.split()):
            written.setdefault(tuple(word.lower() for word in phrase), Counter())[" ".join(phrase)] += 1
    counts = {phrase: forms.total() for phrase, forms in written.items()}
    total = sum(len(segment.text.split()) for segment in segments)
    named = {word for term in terms for word in term.lower().split()}
    surprise = {
        word: _surprise(count, total, word, language) if word in named or is_known(word, language) else 0.0
        for (word, *more), count in counts.items()
        if not more
    }
    scores = {
        phrase: count * sum(surprise[word] / counts[(word,)] for word in phrase) / len(phrase) ** 0.5
        for phrase, count in counts.items()
        if count >= _MIN_COUNT and all(surprise[word] > 0 for word in phrase)
    }
    ranked = sorted(scores, key=lambda phrase: (-scores[phrase], phrase))
    kept: list[tuple[str, ...]] = []
    for phrase in ranked:
        if not any(_covers(other, phrase, counts) for other in kept):
            kept.append(phrase)
    return tuple(
        Keyword(_best_form(written[phrase]), counts[phrase], round(scores[phrase], 3))
        for phrase in kept[:limit]
    )


def _phrases(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield every run of one to three words that holds no stop word and crosses no mark."""
    stop = stop_words()
    for begin in range(len(words)):
        for end in range(begin + 1, min(begin + _MAX_WORDS, len(words)) + 1):
            phrase = tuple(word.strip(_MARKS) for word in words[begin:end])
            last = phrase[-1].lower()
            if len(last) < 3 or last in stop or not any(map(str.isalpha, last)):
                break
            yield phrase
            if words[end - 1][-1] in _MARKS:
                break


@cache
def stop_words() -> frozenset[str]:
    """Return words that are no topic, in lower case; of English."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS).union(_CHATTER.read_text(encoding="ascii").split())


def _surprise(count: int, total: int, word: str, language: str) -> float:
    from wordfreq import word_frequency

    try:
        usual = max(word_frequency(word, language.partition("-")[0]), 1e-8)
    except (LookupError, ImportError):
        usual = 1e-6
    expected = usual * total
    if count <= expected:
        return 0.0
    rest = total - count
    other = rest * math.log(rest / (total - expected)) if rest else 0.0
    return 2 * (count * math.log(count / expected) + other)


def _covers(phrase: tuple[str, ...], other: tuple[str, ...], counts: dict[tuple[str, ...], int]) -> bool:
    """Say whether two overlap so much that one of them is enough."""
    short, long = sorted((phrase, other), key=len)
    if tuple(word.rstrip("s") for word in short) == tuple(word.rstrip("s") for word in long):
        return True  # singular and plural
    inside = any(long[at : at + len(short)] == short for at in range(len(long) - len(short) + 1))
    return inside and counts[long] * 2 >= counts[short]


def _best_form(forms: Counter[str]) -> str:
    """Choose the usual way of writing; a capital that only begins a sentence gives way."""
    plain = {form: count for form, count in forms.items() if form[:1].islower()}
    return max(plain or forms, key=lambda form: (forms[form], form))
