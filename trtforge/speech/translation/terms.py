"""Whether a translation holds the terms that it must: how often, in which order and letter case."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from trtforge.speech.translation.glossary import word_pattern

_OPENING = " \"'(«“¿¡[-"


@dataclass(frozen=True)
class TermCheck:
    """What a translation holds of the terms that it must hold.

    Parameters
    ----------
    kept, lost : renderings, one entry for each time that the source has the term.
    added : renderings that stand in the translation more often than in the source, once for each.
    in_order : whether what was kept comes in the order of the source.
    """

    kept: tuple[str, ...]
    lost: tuple[str, ...]
    added: tuple[str, ...]
    in_order: bool

    def passes(self, *, keep_order: bool = False) -> bool:
        """Say whether each term is there exactly as often as it must be."""
        return not self.lost and not self.added and (self.in_order or not keep_order)


def check_terms(text: str, required: Sequence[str]) -> TermCheck:
    """Look for renderings in a translation, at word boundaries and in their own letter case.

    The first letter of the translation may be raised. Longer renderings are looked for first, so that "tensor
    core" is not found again in "tensor core engine".

    Parameters
    ----------
    text : the translation.
    required : renderings in the order of the source, repeated as often as they stand there.
    """
    places = _places(text, required)
    kept, lost = [], []
    used: Counter[str] = Counter()
    for rendering in required:
        if used[rendering] < len(places[rendering]):
            kept.append(rendering)
        else:
            lost.append(rendering)
        used[rendering] += 1
    added = [
        rendering
        for rendering, found in places.items()
        for _ in range(len(found) - used[rendering])
        if len(found) > used[rendering]
    ]
    order = [rendering for _, rendering in sorted((at, name) for name in places for at in places[name])]
    return TermCheck(tuple(kept), tuple(lost), tuple(added), order == kept)


def restore_case(text: str, required: Sequence[str]) -> str:
    """Write terms that stand in the translation in another letter case as they must be written."""
    for rendering in sorted(set(required), key=len, reverse=True):
        if rendering not in check_terms(text, required).lost:
            continue
        # A function, since a rendering may hold what `sub` would read as a reference.
        text = word_pattern(rendering, match_case=False).sub(partial(_written, rendering), text)
    return text


def _written(rendering: str, hit: re.Match[str]) -> str:
    return rendering


def at_beginning(text: str, position: int) -> bool:
    """Say whether only marks stand before ``position``."""
    return not text[:position].strip(_OPENING)


def raise_first(text: str) -> str:
    """Raise the first letter."""
    return text[:1].upper() + text[1:]


def _places(text: str, required: Sequence[str]) -> dict[str, list[int]]:
    taken = [False] * len(text)
    places: dict[str, list[int]] = {}
    for rendering in sorted(dict.fromkeys(required), key=len, reverse=True):
        places[rendering] = []
        for hit in word_pattern(rendering, match_case=False).finditer(text):
            is_raised = at_beginning(text, hit.start()) and hit[0] == raise_first(rendering)
            if any(taken[hit.start() : hit.end()]) or not (hit[0] == rendering or is_raised):
                continue
            taken[hit.start() : hit.end()] = [True] * (hit.end() - hit.start())
            places[rendering].append(hit.start())
    return places
