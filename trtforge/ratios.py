"""Times of a candidate by those of FP16, and how they spread over rounds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from trtforge.errors import InputError

# Shape, in words, to a candidate's time by that of FP16 in each round.
Ratios: TypeAlias = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Spread:
    """A candidate's time by that of FP16, measured in turns.

    Parameters
    ----------
    median, low, high : median and quartiles over the rounds.
    """

    median: float
    low: float
    high: float


def sum_up(ratios: Ratios) -> dict[str, Spread]:
    """Return the spread over the rounds at each shape.

    Raises
    ------
    InputError : there is no shape, or there are fewer than two rounds at one.
    """
    if not ratios:
        raise InputError(
            "a candidate was timed at no shape",
            hint="time it at the shape of each profile, or at the one that a static network has",
        )
    return {shape: _spread(shape, rounds) for shape, rounds in ratios.items()}


def _spread(shape: str, rounds: Sequence[float]) -> Spread:
    if len(rounds) < 2:
        raise InputError(
            f"a candidate must be timed in two rounds or more at each shape, got {len(rounds)} at {shape!r}",
            hint="quartiles tell noise from a gain, and one round has none",
        )
    low, median, high = statistics.quantiles(rounds, n=4, method="inclusive")
    return Spread(median, low, high)
