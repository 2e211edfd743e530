"""Cut a sorted workload into contiguous parts at the least total cost, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import ProfileError

# Costs that are no whole numbers are counted in this share of the largest.
_STEPS = 1 << 40
_LARGEST_WHOLE = 1 << 53


@dataclass(frozen=True)
class Partition:
    """The cheapest way to cut a workload into a number of parts.

    Parameters
    ----------
    ends : for each part the index of its last item, ascending; the last is that of the last item.
    cost : the sum over all items of their count times the price of the last item of their part.
    """

    ends: tuple[int, ...]
    cost: float


def partitions(counts: NDArray[np.int64], prices: NDArray[np.float64], max_parts: int) -> list[Partition]:
    """Find the cheapest partition into exactly 1, 2, ... ``max_parts`` parts.

    The cost of the part that holds items i+1 to j is (N[j] - N[i]) p[j], where N sums the counts and p is the
    price. Its least total over the first j items in k parts is

        D[k][j] = min over i < j of D[k-1][i] + (N[j] - N[i]) p[j]
                = N[j] p[j] + min over i < j of (D[k-1][i] - N[i] p[j]),

    so every i is a line with slope -N[i] and height D[k-1][i], asked at p[j]. Slopes fall as i grows and p[j]
    never falls as j grows, so a lower hull that is filled at one end and read from the other answers each
    question in constant amortized time: the whole takes O(max_parts n) steps. It is exact and no heuristic,
    because the lines are the recurrence itself, no candidate is left out except those that lie nowhere below
    the others, and all sums and comparisons are of whole numbers. An optimal partition of sorted lengths is
    contiguous, because moving an item to a cheaper part that also holds it never costs more.

    Parameters
    ----------
    counts : int64 [n], n of 1 or more; items that share a length, positive.
    prices : float64 [n]; the cost of running one item at each length, finite, positive, and never falling.
        Where they are not whole numbers they are rounded to 2**-40 of the largest.
    max_parts : most parts; more than n are never made.

    Returns
    -------
    One partition for each number of parts, fewest first.

    Raises
    ------
    ProfileError : the arrays differ in length, are empty, or break a rule above.

    References
    ----------
    A. Aggarwal, B. Schieber, T. Tokuyama, "Finding a minimum-weight k-link path in graphs with the concave
    Monge property and applications", Discrete & Computational Geometry 12, 1994 (the problem).
    """
    _check(counts, prices, max_parts)
    unit, heights = _whole(prices)
    sums = [0, *(int(total) for total in np.cumsum(counts, dtype=np.int64))]
    n = len(heights)
    best: list[int] = [total * height for total, height in zip(sums[1:], heights, strict=True)]
    origins: list[list[int]] = []
    found = [Partition((n - 1,), best[-1] * unit)]
    for parts in range(2, min(max_parts, n) + 1):
        best, origin = _one_more(best, sums, heights, parts)
        origins.append(origin)
        found.append(Partition(_ends(origins, n), best[-1] * unit))
    return found


def _one_more(
    before: list[int], sums: list[int], heights: list[int], parts: int
) -> tuple[list[int], list[int]]:
    """Return the cheapest costs of the first 1, 2, ... items in one more part, and where that part begins.

    Entries below ``parts`` items mean nothing, and are never read.
    """
    after, origin = [0] * len(before), [0] * len(before)
    slopes: list[int] = []
    levels: list[int] = []
    starts: list[int] = []
    head = 0
    for last in range(parts - 1, len(before)):
        # The line of the part that begins at this item: everything before it is cut already.
        slope, level = -sums[last], before[last - 1]
        while len(slopes) - head >= 2 and (level - levels[-2]) * (slopes[-2] - slopes[-1]) <= (
            levels[-1] - levels[-2]
        ) * (slopes[-2] - slope):
            slopes.pop()
            levels.pop()
            starts.pop()
        slopes.append(slope)
        levels.append(level)
        starts.append(last)
        price = heights[last]
        value = slopes[head] * price + levels[head]
        while head + 1 < len(slopes):
            following = slopes[head + 1] * price + levels[head + 1]
            if following > value:
                break
            value = following
            head += 1
        after[last] = value + sums[last + 1] * price
        origin[last] = starts[head]
    return after, origin


def _ends(origins: list[list[int]], n: int) -> tuple[int, ...]:
    ends = [n - 1]
    for origin in reversed(origins):
        ends.append(origin[ends[-1]] - 1)
    return tuple(reversed(ends))


def _whole(prices: NDArray[np.float64]) -> tuple[float, list[int]]:
    largest = float(prices[-1])
    if largest < _LARGEST_WHOLE and bool(np.all(prices == np.floor(prices))):
        return 1.0, [int(price) for price in prices]
    unit = largest / _STEPS
    return unit, [int(price) for price in np.rint(prices / unit)]


def _check(counts: NDArray[np.int64], prices: NDArray[np.float64], max_parts: int) -> None:
    if len(counts) != len(prices) or not len(counts):
        raise ProfileError(f"wanted a price for each count, got {len(prices)} for {len(counts)}")
    if counts.min() < 1 or max_parts < 1:
        raise ProfileError(
            f"counts and the number of profiles must be 1 or more, got {counts.min()} and {max_parts}"
        )
    if not (np.isfinite(prices).all() and prices[0] > 0 and (np.diff(prices) >= 0).all()):
        raise ProfileError(
            "the cost of running a length must be finite, positive, and never fall as lengths grow"
        )
