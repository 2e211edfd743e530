"""How wide a text stands on a screen, and where it may be broken inside a word."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_JOINER = "\u200d"
# What no line may begin with, and Thai and Lao vowels that no line may end with.
_CLOSING = frozenset("、。，．：；！？」』）】》〉…ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョำຳะ")  # noqa: RUF001
_LEADING = frozenset("เแโใไເແໂໃໄ「『（【《〈")  # noqa: RUF001
# The shortest line that `Limits` allows; what belongs together is never wider.
_WIDEST = 16


def columns(text: str) -> int:
    """Count columns: two for an ideograph or another wide letter, none for a mark over or under a letter."""
    if text.isascii():
        return len(text)
    return sum(map(_columns_of, text))


def break_up(text: str, width: int) -> Sequence[str]:
    """Cut a text without spaces into pieces of at most ``width`` columns, 16 or more.

    Marks stay with their letters, and closing punctuation with what it closes.
    """
    units: list[str] = []
    for char in text:
        if units and _belongs(units[-1], char) and columns(units[-1] + char) <= _WIDEST:
            units[-1] += char
        else:
            units.append(char)
    pieces: list[str] = []
    for unit in units:
        if pieces and columns(pieces[-1]) + columns(unit) <= width:
            pieces[-1] += unit
        else:
            pieces.append(unit)
    return pieces


def _columns_of(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _belongs(unit: str, char: str) -> bool:
    is_mark = unicodedata.category(char)[0] == "M" or char == _JOINER or "\U0001f3fb" <= char <= "\U0001f3ff"
    return is_mark or char in _CLOSING or unit[-1] == _JOINER or unit[-1] in _LEADING
