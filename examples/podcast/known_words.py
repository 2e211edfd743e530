"""Whether words are words: so a transcript of noise or another language is told from a sound one."""

from __future__ import annotations

from collections.abc import Sequence

_MIN_ZIPF = 2.5


def is_known(word: str, language: str) -> bool:
    """Say whether a word is one of a language, or the language has no list.

    A word counts where it is said once in three million words or more: a Zipf frequency of 2.5.

    Parameters
    ----------
    word : without punctuation.
    language : BCP 47 tag.

    References
    ----------
    R. Speer, "wordfreq", version 3 (Apache-2.0; its data CC BY-SA 4.0).
    """
    from wordfreq import zipf_frequency

    try:
        return bool(zipf_frequency(word, language.partition("-")[0]) >= _MIN_ZIPF)
    except (LookupError, ImportError):  # Chinese, Japanese and Korean need a package that parts words
        return True


def known_share(words: Sequence[str], language: str) -> float:
    """Return the share of letters that stand in words of a language, 0 to 1; 1 where none were given."""
    total = sum(map(len, words))
    known = sum(len(word) for word in words if is_known(word, language))
    return known / total if total else 1.0
