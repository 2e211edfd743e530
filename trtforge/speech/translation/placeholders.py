"""Hide terms behind words that a network was trained to carry over unchanged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trtforge.speech.translation.glossary import Match
from trtforge.speech.translation.terms import at_beginning, raise_first


@dataclass(frozen=True)
class Masked:
    """A sentence with placeholders.

    Parameters
    ----------
    text : the sentence.
    renderings : placeholder to what it stands for in the translation.
    others : placeholders that stand for nothing here.
    """

    text: str
    renderings: dict[str, str]
    others: tuple[str, ...] = ()

    def restore(self, translation: str) -> str | None:
        """Put the renderings back; None where a placeholder is missing, twice there or without one."""
        if any(other in translation for other in self.others):
            return None
        for placeholder, rendering in self.renderings.items():
            if translation.count(placeholder) != 1:
                return None
            at = translation.index(placeholder)
            if at_beginning(translation, at) and rendering == rendering.lower():
                rendering = raise_first(rendering)
            translation = translation.replace(placeholder, rendering)
        return translation


def mask(sentence: str, matches: Sequence[Match], placeholders: Sequence[str]) -> Masked | None:
    """Replace each match by a placeholder of its own.

    Parameters
    ----------
    sentence : the source.
    matches : what `Glossary.find` found in it.
    placeholders : the network's own, for example ``<t1>``; no one part of another.

    Returns
    -------
    None where the sentence already holds such a word, or there are more matches than placeholders.
    """
    if len(matches) > len(placeholders) or any(word in sentence for word in placeholders):
        return None
    parts, end, renderings = [], 0, {}
    for match, placeholder in zip(matches, placeholders, strict=False):
        parts += [sentence[end : match.begin], placeholder]
        renderings[placeholder] = match.term.rendering
        end = match.end
    text = re.sub(r"\s+", " ", "".join([*parts, sentence[end:]]))
    return Masked(text, renderings, tuple(placeholders[len(matches) :]))
