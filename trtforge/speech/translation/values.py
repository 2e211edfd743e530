"""What translating gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Method = Literal["greedy", "placeholders", "constrained"]


@dataclass(frozen=True)
class Translation:
    """One sentence and its translation.

    Parameters
    ----------
    source, text : in either language.
    score : mean log-probability of the translation's symbols, at most 0; 0 where there was nothing to do.
    method : how it was made: greedily; greedily with terms behind placeholders; or by a search that must hold
        the terms.
    is_complete : whether the network ended the translation, rather than its greatest length.
    terms_kept, terms_lost : what the glossary asked of it, as it must be written, once for each time that the
        source has the term.
    terms_added : terms that stand there more often than in the source.
    terms_in_order : whether the terms kept come in the order of the source.
    """

    source: str
    text: str
    score: float = 0.0
    method: Method = "greedy"
    is_complete: bool = True
    terms_kept: tuple[str, ...] = ()
    terms_lost: tuple[str, ...] = ()
    terms_added: tuple[str, ...] = ()
    terms_in_order: bool = True


def preservation_rate(translations: Iterable[Translation]) -> float:
    """Return the share of the glossary's terms that the translations hold, 0 to 1; 1 where there were none.

    Parameters
    ----------
    translations : of `Translator.translate`; their ``terms_kept`` and ``terms_lost`` are the counts.
    """
    found = list(translations)
    kept = sum(len(translation.terms_kept) for translation in found)
    lost = sum(len(translation.terms_lost) for translation in found)
    return kept / (kept + lost) if kept + lost else 1.0
