"""What it costs to run one item of some length: a line, or a curve through measured times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import ProfileError


class CostModel(Protocol):
    """Anything that prices lengths; costs are positive and never fall as lengths grow."""

    def __call__(self, lengths: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the cost of one item at each length, float64 [n], in the model's unit."""
        ...


@dataclass(frozen=True)
class AffineCost:
    """A fixed cost for each run and a cost for each frame.

    Parameters
    ----------
    per_frame : cost of a frame, positive; 1 counts costs in frames.
    fixed : cost of a run whatever its length, in the same unit. It raises every plan's cost alike, and so
        weighs only against the price of a profile.

    Raises
    ------
    ProfileError : a value is out of range.
    """

    per_frame: float = 1.0
    fixed: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.per_frame < math.inf and 0 <= self.fixed < math.inf):
            raise ProfileError(
                f"per_frame must be positive and fixed 0 or more, got {self.per_frame} and {self.fixed}"
            )

    def __call__(self, lengths: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the cost of one item at each length, float64 [n]."""
        return self.fixed + self.per_frame * np.asarray(lengths, np.float64)


@dataclass(frozen=True)
class MeasuredCost:
    """A curve through measured times: the nearest one that never falls, straight between the points.

    Below the shortest measured length the cost stays what it is there; above the longest it grows in
    proportion to the length. Times of one length that differ are averaged.

    Parameters
    ----------
    points : pairs of a length in frames and its time in ms, both positive; two lengths or more.

    Raises
    ------
    ProfileError : there are fewer lengths, or a value is not positive and finite.

    References
    ----------
    M. Ayer et al., "An empirical distribution function for sampling with incomplete information", Annals of
    Mathematical Statistics 26, 1955 (pool adjacent violators: least squares under "never falls").
    """

    points: Sequence[tuple[float, float]]

    def __post_init__(self) -> None:
        points = tuple((float(length), float(ms)) for length, ms in self.points)
        if any(not (0 < value < math.inf) for point in points for value in point):
            raise ProfileError(f"measured lengths and times must be positive and finite, got {points}")
        if len({length for length, _ in points}) < 2:
            raise ProfileError(f"a cost must be measured at two lengths or more, got {points}")
        object.__setattr__(self, "points", points)

    def __call__(self, lengths: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the time of one item at each length in ms, float64 [n]."""
        at, ms = _never_falling(self.points)
        wanted = np.asarray(lengths, np.float64)
        times: NDArray[np.float64] = np.interp(wanted, at, ms) * np.maximum(1.0, wanted / at[-1])
        return times


def _never_falling(points: Sequence[tuple[float, float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lengths = sorted({length for length, _ in points})
    # Each block: sum of its times, number of its times, number of its lengths.
    blocks: list[tuple[float, int, int]] = []
    for length in lengths:
        times = [ms for at, ms in points if at == length]
        block = (sum(times), len(times), 1)
        while blocks and blocks[-1][0] / blocks[-1][1] >= block[0] / block[1]:
            total, weight, spanned = blocks.pop()
            block = (total + block[0], weight + block[1], spanned + block[2])
        blocks.append(block)
    fitted = [total / weight for total, weight, spanned in blocks for _ in range(spanned)]
    return np.array(lengths), np.array(fitted)
