"""Ways to choose the tops of buckets, to compare: one wide profile, quantiles, guesses, the planner."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trtforge.profiles import Workload, plan_buckets

MULTIPLE_OF = 8


def one_wide(workload: Workload, count: int) -> list[int]:
    """Put everything into one bucket, whatever ``count`` says."""
    return [_up(int(workload.lengths[-1]))]


def quantiles(workload: Workload, count: int) -> list[int]:
    """Put as many items into each bucket."""
    return _distinct([workload.quantile((index + 1) / count) for index in range(count)])


def halved(workload: Workload, count: int) -> list[int]:
    """Halve the longest length again and again, as people do who write shapes by hand."""
    longest = int(workload.lengths[-1])
    return _distinct([-(-longest // 2**index) for index in reversed(range(count))])


def even(workload: Workload, count: int) -> list[int]:
    """Make all buckets equally wide."""
    longest = int(workload.lengths[-1])
    return _distinct([-(-longest * (index + 1) // count) for index in range(count)])


def planned(workload: Workload, count: int) -> list[int]:
    """Ask the planner for the cheapest buckets, with no price for a profile."""
    plan = plan_buckets(workload, max_profiles=count, multiple_of=MULTIPLE_OF, profile_price=0)
    return [bucket.frames[1] for bucket in plan.buckets]


WAYS: Mapping[str, Callable[[Workload, int], list[int]]] = {
    "one wide profile": one_wide,
    "quantiles": quantiles,
    "halved by hand": halved,
    "equal widths": even,
    "planner": planned,
}


def _up(length: int) -> int:
    return -(-length // MULTIPLE_OF) * MULTIPLE_OF


def _distinct(tops: list[int]) -> list[int]:
    return sorted(set(map(_up, tops)))
