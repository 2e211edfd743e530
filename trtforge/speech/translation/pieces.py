"""Part text into sentences, and sentences that are longer than a network takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from trtforge.errors import InputError
from trtforge.speech.translation.glossary import IDEOGRAPHS, Match

_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"')»”]?(\s+)(?=[¿¡\"'(«“]?[^\W_a-z])")
# The full-width stop, exclamation and question mark, comma, semicolon and colon among others.
_WIDE_END = re.compile(r"(?<=[\u3002\uff01\uff1f])[”」』\uff09]*(\s*)(?![\u3002\uff01\uff1f])")
_ABBREVIATION = re.compile(r"(?:^|\W)(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|No|vs|etc|Fig|e\.g|i\.e)\.$")
_MARK, _SPACE = re.compile(r"((?<=[;:,.!?…])\s+|(?<=[\u3001\uff0c\uff1b\uff1a])\s*)"), re.compile(r"(\s+)")
# Ideographs and kana, full-width marks and brackets: no space stands between two of them.
_WIDE = re.compile(rf"[{IDEOGRAPHS}\u3001-\u301f\uff01-\uff65]")
_BETWEEN_IDEOGRAPHS = re.compile(rf"(?<=[{IDEOGRAPHS}])()(?=[{IDEOGRAPHS}])")


def parts_of(text: str, matches: Sequence[Match], fits: Callable[[str], bool]) -> list[str]:
    """Part text into sentences, and those that do not fit in halves until they do.

    A sentence is halved after a mark where there is one, else between words, else between ideographs. No term
    is cut.

    Parameters
    ----------
    text : one sentence or more.
    matches : terms found in it.
    fits : says whether a part fits the network.

    Raises
    ------
    InputError : a single word does not fit.
    """
    ends = [gap for gap in _gaps(_SENTENCE_END, text, matches) if not _ABBREVIATION.search(text[: gap[0]])]
    ends = sorted({*ends, *_gaps(_WIDE_END, text, matches)})
    begins = [0, *(stop for _, stop in ends)]
    stops = [*(start for start, _ in ends), len(text)]
    parts: list[str] = []
    for begin, stop in zip(begins, stops, strict=True):
        parts += _halved(text[begin:stop], _within(matches, begin, stop), fits)
    return parts


def join_parts(texts: Sequence[str]) -> str:
    """Join translations of parts by spaces, but where two meet whose script has none between sentences."""
    joined = ""
    for text in filter(None, texts):
        meets_wide = joined and _WIDE.match(joined[-1]) and _WIDE.match(text[0])
        joined += text if meets_wide or not joined else f" {text}"
    return joined


def _halved(sentence: str, matches: Sequence[Match], fits: Callable[[str], bool]) -> list[str]:
    if fits(sentence):
        return [sentence]
    middle = len(sentence) / 2
    for pattern in (_MARK, _SPACE, _BETWEEN_IDEOGRAPHS):
        gaps = list(_gaps(pattern, sentence, matches))
        if gaps:
            start, stop = min(gaps, key=lambda gap: abs(gap[0] - middle))
            left = _halved(sentence[:start], _within(matches, 0, start), fits)
            return left + _halved(sentence[stop:], _within(matches, stop, len(sentence)), fits)
    raise InputError(
        f"a word is longer than the network takes: {sentence[:40]!r}",
        hint="is this text, and in the language of the checkpoint?",
    )


def _gaps(pattern: re.Pattern[str], text: str, matches: Sequence[Match]) -> Iterator[tuple[int, int]]:
    """Find where text may be cut: at a pattern's group with words on both sides, in no term."""
    for hit in pattern.finditer(text):
        start, stop = hit.span(1)
        is_inside = any(match.begin < stop and start < match.end for match in matches)
        if text[:start].strip() and text[stop:].strip() and not is_inside:
            yield start, stop


def _within(matches: Sequence[Match], begin: int, stop: int) -> list[Match]:
    return [
        Match(match.term, match.begin - begin, match.end - begin)
        for match in matches
        if begin <= match.begin and match.end <= stop
    ]
