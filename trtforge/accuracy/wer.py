"""Count word and character errors between what was said and what was recognised."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trtforge._optional import require

Normalize = Callable[[str], str]
_MOST = 1 << 31


@dataclass(frozen=True)
class ErrorCounts:
    """Counts of a minimal alignment between a reference and a hypothesis; they add up over clips.

    Parameters
    ----------
    hits : units that are right.
    substitutions : units that stand for another.
    deletions : reference units that are missing.
    insertions : hypothesis units that nothing stands for.
    """

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def num_reference(self) -> int:
        """Number of units (words or characters) in the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def num_errors(self) -> int:
        """Number of substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors for each reference unit, a fraction that may exceed 1; NaN where the reference is empty."""
        return self.num_errors / self.num_reference if self.num_reference else math.nan

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )

    def to_json(self) -> dict[str, int]:
        """Return the four counts as plain JSON values."""
        return {
            "hits": self.hits,
            "substitutions": self.substitutions,
            "deletions": self.deletions,
            "insertions": self.insertions,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ErrorCounts:
        """Make the counts of what `to_json` gave; one that no text has is a ValueError."""
        counts = [int(value[key]) for key in ("hits", "substitutions", "deletions", "insertions")]
        if min(counts) < 0 or max(counts) > _MOST:
            raise ValueError(f"counts are {counts}")
        return cls(*counts)


def total(counts: Iterable[ErrorCounts]) -> ErrorCounts:
    """Add counts up: errors and reference units of all clips together, never an average of rates."""
    return sum(counts, start=ErrorCounts())


def normalize_text(text: str) -> str:
    """Lower the case and merge white space; punctuation, numbers and accents stay as they are.

    A letter and its accent become one character where there is one (Unicode's form NFC), so that it does not
    matter which way a text has them.
    """
    return " ".join(unicodedata.normalize("NFC", text.lower()).split())


def word_errors(reference: str, hypothesis: str, *, normalize: Normalize = normalize_text) -> ErrorCounts:
    """Count the word errors of one clip.

    Words are what white space separates. An empty reference has no words: every hypothesis word counts as an
    insertion and the rate of this clip alone is NaN, while the sum over clips stays right.

    Parameters
    ----------
    reference : what was said.
    hypothesis : what was recognised.
    normalize : applied to both before they are compared.

    Raises
    ------
    MissingExtraError : jiwer is not installed.
    """
    said, heard = _prepare(reference, normalize), _prepare(hypothesis, normalize)
    if not said or not heard:
        return ErrorCounts(deletions=len(said.split()), insertions=len(heard.split()))
    return _counts(require("jiwer", "count word errors").process_words(said, heard))


def character_errors(
    reference: str, hypothesis: str, *, normalize: Normalize = normalize_text
) -> ErrorCounts:
    """Count the character errors of one clip.

    Characters are Unicode code points, the single spaces between words among them; an empty reference is
    treated as by `word_errors`.

    Parameters
    ----------
    reference : what was said.
    hypothesis : what was recognised.
    normalize : applied to both before they are compared.

    Raises
    ------
    MissingExtraError : jiwer is not installed.
    """
    said, heard = _prepare(reference, normalize), _prepare(hypothesis, normalize)
    if not said or not heard:
        return ErrorCounts(deletions=len(said), insertions=len(heard))
    return _counts(require("jiwer", "count character errors").process_characters(said, heard))


def _prepare(text: str, normalize: Normalize) -> str:
    return " ".join(normalize(text).split())


def _counts(output: Any) -> ErrorCounts:
    return ErrorCounts(output.hits, output.substitutions, output.deletions, output.insertions)
