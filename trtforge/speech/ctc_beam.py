"""Search for the likeliest text of CTC scores, over all the ways in which each text can be aligned."""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import ExecutionError

Tokens: TypeAlias = tuple[int, ...]
# First frame, and the frame after the last, of each symbol.
Times: TypeAlias = tuple[tuple[int, int], ...]

_NEVER = -math.inf
# How often texts are looked at for what they have in common, and how long one that differs may hold that up.
_FRAMES_TO_SETTLE, _FRAMES_TO_WAIT = 32, 256


@dataclass(frozen=True)
class PlacedSymbol:
    """A symbol, its first frame, and the frame after its last."""

    symbol: int
    start: int
    end: int


@dataclass
class _Ending:
    """The alignments of a text that end in one way: all together, and the likeliest of them."""

    together: float = _NEVER
    best: float = _NEVER
    times: Times = ()

    def add(self, together: float, best: float, times: Times) -> None:
        self.together = _joined(self.together, together)
        if best > self.best:
            self.best, self.times = best, times


class _Alignments:
    """The alignments of a text: those that end in a blank, and those that end in its last symbol."""

    __slots__ = ("blank", "symbol")

    def __init__(self) -> None:
        self.blank, self.symbol = _Ending(), _Ending()

    @property
    def together(self) -> float:
        return _joined(self.blank.together, self.symbol.together)

    @property
    def likeliest(self) -> _Ending:
        return max(self.blank, self.symbol, key=lambda ending: ending.best)


class PrefixBeam:
    """Prefix beam search over one recording, a frame at a time, in memory that does not grow with it.

    A text's probability is the sum over its alignments; its symbols have the times of the likeliest one.
    Texts that differ from the likeliest in a symbol of more than 256 frames ago are dropped.

    Parameters
    ----------
    blank : index of the blank.
    width : texts kept from frame to frame, 1 or more.
    settling : symbols before which a text may be given out, once all texts kept have it in common; none
        gives out all in the end.
    least : symbols whose log-probability in a frame is so far below that of its likeliest are not looked at.

    References
    ----------
    A. Graves, N. Jaitly, "Towards End-to-End Speech Recognition with Recurrent Neural Networks", ICML 2014,
    section 4; A. Hannun et al., "First-Pass Large Vocabulary Continuous Speech Recognition using
    Bi-Directional Recurrent DNNs", 2014.
    """

    def __init__(
        self, blank: int, width: int, *, settling: Collection[int] = (), least: float = -12.0
    ) -> None:
        self._blank, self._width, self._least = blank, width, least
        self._settling = frozenset(settling)
        self._time = 0
        nothing = _Alignments()
        nothing.blank.add(0.0, 0.0, ())
        self._kept: dict[Tokens, _Alignments] = {(): nothing}

    def push(self, scores: NDArray[Any]) -> list[PlacedSymbol]:
        """Take the next frames and return the symbols that are settled.

        Parameters
        ----------
        scores : float [time, symbols], logits or log-probabilities.

        Raises
        ------
        ExecutionError : a frame has a score that is NaN or infinitely high, or none that is finite.
        """
        rows = log_probabilities(scores)
        if np.isnan(rows).any():
            raise ExecutionError(f"the scores of a frame from {self._time} on give no probabilities")
        settled: list[PlacedSymbol] = []
        for row in rows:
            self._advance(row)
            self._time += 1
            if self._settling and self._time % _FRAMES_TO_SETTLE == 0:
                settled += self._settle()
        return settled

    def finish(self) -> list[PlacedSymbol]:
        """Return the symbols of the likeliest text that were not given out; nothing may be pushed then."""
        tokens, _ = self.texts()[0]
        return _placed(tokens, self._kept[tokens].likeliest.times)

    def texts(self) -> list[tuple[Tokens, float]]:
        """Return what is not given out of each text kept, with its log-probability, the likeliest first."""
        found = [(tokens, alignments.together) for tokens, alignments in self._kept.items()]
        return sorted(found, key=lambda one: -one[1])

    def _advance(self, scores: NDArray[np.float64]) -> None:
        likely = [
            (symbol, float(scores[symbol]))
            for symbol in np.flatnonzero(scores >= scores.max() + self._least).tolist()
        ]
        now = self._time, self._time + 1
        grown: dict[Tokens, _Alignments] = {}
        for tokens, alignments in self._kept.items():
            blank, symbol_ending = alignments.blank, alignments.symbol
            any_together, any_best = alignments.together, alignments.likeliest
            for symbol, score in likely:
                if symbol == self._blank:
                    ending = grown.setdefault(tokens, _Alignments()).blank
                    ending.add(any_together + score, any_best.best + score, any_best.times)
                elif not tokens or symbol != tokens[-1]:
                    ending = grown.setdefault((*tokens, symbol), _Alignments()).symbol
                    ending.add(any_together + score, any_best.best + score, (*any_best.times, now))
                else:
                    # The same symbol goes on, unless a blank stood between.
                    if symbol_ending.together > _NEVER:
                        *before, (start, _) = symbol_ending.times
                        ending = grown.setdefault(tokens, _Alignments()).symbol
                        times = (*before, (start, now[1]))
                        ending.add(symbol_ending.together + score, symbol_ending.best + score, times)
                    if blank.together > _NEVER:
                        ending = grown.setdefault((*tokens, symbol), _Alignments()).symbol
                        ending.add(blank.together + score, blank.best + score, (*blank.times, now))
        best = heapq.nlargest(self._width, grown.items(), key=lambda item: item[1].together)
        self._kept = dict(best)

    def _settle(self) -> list[PlacedSymbol]:
        """Give out what all texts begin with, up to the last symbol before which that is allowed."""
        first, alignments = max(self._kept.items(), key=lambda item: item[1].together)
        long_ago = self._time - _FRAMES_TO_WAIT
        num_old = sum(end <= long_ago for _, end in alignments.likeliest.times)
        self._kept = {
            tokens: one for tokens, one in self._kept.items() if tokens[:num_old] == first[:num_old]
        }
        count = _common(list(self._kept))
        while count and first[count - 1] not in self._settling:
            count -= 1
        count = max(0, count - 1)  # the symbol itself stays, so that it is known what came before
        settled = _placed(first[:count], alignments.likeliest.times[:count])
        if count:
            for one in self._kept.values():
                one.blank.times, one.symbol.times = one.blank.times[count:], one.symbol.times[count:]
            self._kept = {tokens[count:]: one for tokens, one in self._kept.items()}
        return settled


def log_probabilities(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return scores as log-probabilities, float64 of the same shape; what are such already stay so."""
    heights = scores.astype(np.float64)
    with np.errstate(invalid="ignore"):
        heights -= heights.max(axis=-1, keepdims=True)
    result: NDArray[np.float64] = heights - np.log(np.exp(heights).sum(axis=-1, keepdims=True))
    return result


def _joined(one: float, other: float) -> float:
    high, low = max(one, other), min(one, other)
    return high if low == _NEVER else high + math.log1p(math.exp(low - high))


def _common(texts: Sequence[Tokens]) -> int:
    """Count the symbols that all texts begin with."""
    low, high = min(texts), max(texts)
    for index, (left, right) in enumerate(zip(low, high, strict=False)):
        if left != right:
            return index
    return min(len(low), len(high))


def _placed(tokens: Tokens, times: Times) -> list[PlacedSymbol]:
    return [PlacedSymbol(token, *time) for token, time in zip(tokens, times, strict=True)]
