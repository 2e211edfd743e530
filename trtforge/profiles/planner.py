"""Choose optimization profiles for the lengths that an engine will meet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from numbers import Integral

import numpy as np

from trtforge.errors import ProfileError
from trtforge.model import TensorSpec
from trtforge.profiles.costs import AffineCost, CostModel
from trtforge.profiles.partition import partitions
from trtforge.profiles.plan import OUTSIDE, Bucket, Coverage, ProfilePlan, Triple, WastePoint
from trtforge.profiles.shapes import OptimizationProfile
from trtforge.profiles.symbols import profile_for_axes
from trtforge.profiles.workload import Workload


def plan_profiles(
    inputs: Sequence[TensorSpec],
    frame_counts: Workload | Mapping[int, int] | Iterable[int],
    *,
    max_batch: int = 8,
    multiple_of: int = 1,
) -> tuple[OptimizationProfile, ...]:
    """Make one profile that covers the given lengths; `plan_buckets` makes several.

    The first axis of an input, where dynamic, is taken as the batch and every other dynamic axis as time. The
    engine is tuned for a full batch at the length below which half of all frames lie, so that long clips,
    which cost most, weigh most.

    Parameters
    ----------
    inputs : the network's inputs (`trtforge.model.model_inputs`).
    frame_counts : lengths to cover, in frames of the network's input: one for each item, or a histogram
        {length: items}.
    max_batch : largest number of rows.
    multiple_of : the shortest length is rounded down, and the others up, to a multiple of this many frames.

    Returns
    -------
    No profile where every input is fixed, else one.

    Raises
    ------
    ProfileError : no lengths were given, or one is no whole number of 1 or more.
    """
    workload = Workload.of(frame_counts)
    if max_batch < 1 or multiple_of < 1:
        raise ProfileError(
            f"max_batch and multiple_of must be 1 or more, got {max_batch} and {multiple_of}",
            settings=("max_batch",) if max_batch < 1 else ("multiple_of",),
        )
    low = max(1, int(workload.lengths[0]) // multiple_of * multiple_of)
    opt, high = (
        -(-count // multiple_of) * multiple_of for count in (workload.typical, int(workload.lengths[-1]))
    )
    profile = profile_for_axes(inputs, (1, max_batch, max_batch), (low, opt, high), {})
    return () if profile is None else (profile,)


def plan_buckets(
    frame_counts: Workload | Mapping[int, int] | Iterable[int],
    *,
    batch_sizes: Sequence[int] = (1, 8),
    cost: CostModel | None = None,
    profile_price: float = 0.005,
    max_profiles: int = 8,
    multiple_of: int = 8,
    coverage: float = 1.0,
    max_frames: int | None = None,
    outside: str = "reject",
) -> ProfilePlan:
    """Choose buckets of lengths, and how many, at the least cost of padding and profiles together.

    Every item is taken to run padded to the top of its bucket, which its profile is tuned for. What is
    minimized, exactly (`trtforge.profiles.partition.partitions`), is the cost of that over all items plus,
    for each profile after the first, ``profile_price`` times their cost at their own lengths. The least
    length is rounded down to ``multiple_of``, so that one that is a little shorter still fits.

    Parameters
    ----------
    frame_counts : lengths in frames: one for each item, or a histogram {length: items}.
    batch_sizes : observed numbers of rows: the least and the largest bound every profile, and each is tuned
        for the number below which half of all rows lie.
    cost : what a length costs (default: its frames); `AffineCost` or `MeasuredCost`.
    profile_price : share of the exact cost that a further profile must save to be worth its build time and
        memory, 0 or more.
    max_profiles : most buckets, 1 or more.
    multiple_of : tops of buckets are multiples of this many frames, such as 8, 16 or 64.
    coverage : share of the items, above 0 and up to 1, that must fit; the longest may be left out.
    max_frames : longest length to plan for, rounded down to ``multiple_of``; None for no bound. The lower of
        this and the length that ``coverage`` gives holds.
    outside : what happens to the longer items: ``reject``, ``cut`` or ``extend`` (see `Coverage`).

    Raises
    ------
    ProfileError : no length was given, none is left inside, or a setting is out of range.
    """
    workload = Workload.of(frame_counts)
    _check_settings(batch_sizes, profile_price, max_profiles, multiple_of, coverage, max_frames, outside)
    limit = -(-workload.quantile(coverage) // multiple_of) * multiple_of
    if max_frames is not None:
        limit = min(limit, max_frames // multiple_of * multiple_of)
    inside, beyond = workload.up_to(limit)
    record = Coverage(
        num_items=len(workload),
        frames=workload.frames,
        outside_items=len(beyond) if beyond else 0,
        outside_frames=beyond.frames if beyond else 0,
        policy=outside,
    )
    if outside == "cut":
        inside = workload.cut(limit)
    if inside is None:
        raise ProfileError(
            f"no length is within {limit} frames, the shortest is {workload.lengths[0]}",
            hint="raise max_frames, or let longer items be cut with outside='cut'",
            settings=("max_frames", "outside"),
        )
    model = cost or AffineCost()
    tops = inside.aligned(multiple_of)
    found = partitions(tops.counts, model(tops.lengths), max_profiles)
    exact = float(model(inside.lengths) @ inside.counts)
    chosen = min(found, key=lambda part: part.cost + profile_price * exact * (len(part.ends) - 1))
    buckets = buckets_for(inside, [int(tops.lengths[end]) for end in chosen.ends], cost=model)
    low, opt, high = buckets[0].frames
    buckets = (
        replace(buckets[0], frames=(max(1, low // multiple_of * multiple_of), opt, high)),
        *buckets[1:],
    )
    if outside == "extend" and beyond:
        low, opt, _ = buckets[-1].frames
        high = -(-int(workload.lengths[-1]) // multiple_of) * multiple_of
        buckets = (*buckets[:-1], replace(buckets[-1], frames=(low, opt, high)))
    return ProfilePlan(
        buckets=buckets,
        batch=_batch(batch_sizes),
        curve=tuple(WastePoint(len(part.ends), part.cost / exact - 1) for part in found),
        coverage=record,
    )


def buckets_for(
    frame_counts: Workload | Mapping[int, int] | Iterable[int],
    tops: Sequence[int],
    *,
    cost: CostModel | None = None,
) -> tuple[Bucket, ...]:
    """Price buckets whose tops are given, to compare hand-made ones with a plan.

    Parameters
    ----------
    frame_counts : as `plan_buckets` takes them.
    tops : longest length of each bucket, ascending; buckets that hold no item are left out, and the next one
        begins where they would.
    cost : what a length costs (default: its frames).

    Raises
    ------
    ProfileError : the tops do not ascend, or an item is longer than the last.
    """
    workload = Workload.of(frame_counts)
    if not tops or any(high <= low for low, high in pairwise(tops)):
        raise ProfileError(f"tops of buckets must ascend, got {list(tops)}")
    if workload.lengths[-1] > tops[-1]:
        raise ProfileError(f"a length of {workload.lengths[-1]} frames exceeds the last bucket, {tops[-1]}")
    model = cost or AffineCost()
    prices, at_tops = model(workload.lengths), model(np.array(tops, np.int64))
    homes = np.searchsorted(np.array(tops), workload.lengths)
    buckets, low = [], int(workload.lengths[0])
    for index, top in enumerate(tops):
        here = homes == index
        items = int(workload.counts[here].sum())
        if items:
            exact = float(prices[here] @ workload.counts[here])
            buckets.append(Bucket((low, int(top), int(top)), items, exact, float(at_tops[index]) * items))
            low = int(top) + 1
    return tuple(buckets)


def _batch(sizes: Sequence[int]) -> Triple:
    return int(min(sizes)), Workload.of(sizes).typical, int(max(sizes))


def _check_settings(
    batch_sizes: Sequence[int],
    profile_price: float,
    max_profiles: int,
    multiple_of: int,
    coverage: float,
    max_frames: int | None,
    outside: str,
) -> None:
    longest = multiple_of if max_frames is None else max_frames
    for setting, value, fits, rule in (
        ("batch_sizes", batch_sizes, _are_sizes(batch_sizes), "be whole numbers of 1 or more"),
        ("profile_price", profile_price, 0 <= profile_price < float("inf"), "be 0 or more"),
        ("max_profiles", max_profiles, max_profiles >= 1, "be 1 or more"),
        ("multiple_of", multiple_of, _are_sizes([multiple_of]), "be a whole number of 1 or more"),
        ("coverage", coverage, 0 < coverage <= 1, "lie above 0 and at most at 1"),
        ("max_frames", max_frames, longest >= multiple_of, f"be multiple_of ({multiple_of}) or more"),
        ("outside", outside, outside in OUTSIDE, f"be one of {OUTSIDE}"),
    ):
        if not fits:
            raise ProfileError(f"{setting} must {rule}, got {value!r}", settings=(setting,))


def _are_sizes(values: object) -> bool:
    return (
        isinstance(values, Sequence)
        and len(values) > 0
        and all(isinstance(value, Integral) and int(value) >= 1 for value in values)
    )
