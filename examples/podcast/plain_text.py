"""Text that XML, subtitles and Markdown can hold."""

from __future__ import annotations

import re

from trtforge.errors import ConfigError

# Control characters, halves of surrogate pairs, and what Unicode keeps for no character.
_UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def plain(text: str) -> str:
    """Return a text in one line, with a space for each run of what does not print."""
    return " ".join(_UNPRINTED.sub(" ", text).split())


def require_plain(name: str, text: str, *, lines: bool = False) -> None:
    """Refuse a setting that feeds and pages cannot hold.

    Parameters
    ----------
    name : of the setting.
    text : its value.
    lines : whether it may have several lines.

    Raises
    ------
    ConfigError : it has a control character or another that does not print.
    """
    found = _UNPRINTED.search(re.sub(r"[\t\r\n]", " ", text) if lines else text)
    if found:
        raise ConfigError(
            f"{name} must be {'text' if lines else 'one line of text'}, got U+{ord(found[0]):04X} in "
            f"{text[:60]!r}",
            settings=(name,),
        )
