"""Decide which waiting requests to run together: a pure function of what waits and of the time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trtforge.errors import ConfigError, ProfileError
from trtforge.profiles import OptimizationProfile
from trtforge.units import Seconds


@dataclass(frozen=True, order=True)
class Bucket:
    """A shape that batches are padded to.

    Parameters
    ----------
    num_frames : frames of each row.
    max_rows : most rows of a batch.

    Raises
    ------
    ConfigError : a value is no whole number of 1 or more.
    """

    num_frames: int
    max_rows: int

    def __post_init__(self) -> None:
        if not all(isinstance(size, int) and size >= 1 for size in (self.num_frames, self.max_rows)):
            raise ConfigError(f"num_frames and max_rows must be whole numbers of 1 or more, got {self}")


@dataclass(frozen=True)
class Request:
    """A request that waits.

    Parameters
    ----------
    number : in order of submission.
    num_frames : its length.
    arrived : when, in seconds of any clock that does not go back.
    """

    number: int
    num_frames: int
    arrived: Seconds


@dataclass(frozen=True)
class Batch:
    """Requests to run together, in order of submission, each padded to the bucket's frames."""

    bucket: Bucket
    requests: tuple[Request, ...]

    @property
    def padded_frames(self) -> int:
        """Frames that are run and are nobody's."""
        return self.bucket.num_frames * len(self.requests) - sum(
            request.num_frames for request in self.requests
        )


@dataclass(frozen=True)
class BatchingRule:
    """When to stop waiting, and what a batch costs.

    Parameters
    ----------
    buckets : shapes to choose from; kept in ascending order.
    max_wait : longest that a request waits while the runner is idle, in seconds.
    overhead_frames : what starting a batch costs, in frames of a row: rows times frames plus this is a
        batch's cost. 0 fits a GPU that a single row fills; more favours fuller batches.

    Raises
    ------
    ConfigError : there is no bucket, or a value is negative or not finite.
    """

    buckets: tuple[Bucket, ...]
    max_wait: float = 0.05
    overhead_frames: float = 100.0

    def __post_init__(self) -> None:
        if not self.buckets or not all(isinstance(bucket, Bucket) for bucket in self.buckets):
            raise ConfigError(
                f"batching needs one Bucket or more, got {self.buckets!r}", settings=("buckets",)
            )
        object.__setattr__(self, "buckets", tuple(sorted(set(self.buckets))))
        for name in ("max_wait", "overhead_frames"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} must be 0 or more and finite, got {value!r}", settings=(name,))

    @property
    def max_frames(self) -> int:
        """Longest request that fits a bucket."""
        return self.buckets[-1].num_frames


def choose_batch(
    waiting: Sequence[Request], rule: BatchingRule, now: float, *, is_draining: bool = False
) -> Batch | None:
    """Choose the batch to run now, or none if it pays to wait.

    A batch runs as soon as requests fill one that they fit best, or once the oldest request has waited for
    ``max_wait``. In the second case the batch holds the oldest request, and of the buckets and numbers of
    rows that can take it those are chosen that cost least for each frame of audio.

    Parameters
    ----------
    waiting : the requests, each no longer than the longest bucket; their order does not matter.
    rule : buckets, waiting time and cost.
    now : the time, on the clock of ``Request.arrived``.
    is_draining : choose as if the oldest request had waited for long enough.

    Returns
    -------
    The batch; None where nothing waits, or nothing is due yet.

    Raises
    ------
    ProfileError : a request is longer than every bucket.
    """
    if not waiting:
        return None
    ordered = sorted(waiting, key=lambda request: request.number)
    homes = [home_of(request, rule) for request in ordered]
    oldest = min(ordered, key=lambda request: (request.arrived, request.number))
    if is_draining or now >= due(oldest, rule):
        return _cheapest(ordered, oldest, rule)
    for bucket in rule.buckets:
        own = [request for request, home in zip(ordered, homes, strict=True) if home == bucket]
        if len(own) >= bucket.max_rows:
            return Batch(bucket, tuple(own[: bucket.max_rows]))
    return None


def due(request: Request, rule: BatchingRule) -> float:
    """Return the time at which a request has waited for long enough."""
    return request.arrived + rule.max_wait


def home_of(request: Request, rule: BatchingRule) -> Bucket:
    """Return the shortest bucket that holds a request, of several the one with most rows.

    Raises
    ------
    ProfileError : it is longer than every bucket.
    """
    fitting = [bucket for bucket in rule.buckets if bucket.num_frames >= request.num_frames]
    if not fitting:
        raise ProfileError(
            f"a request of {request.num_frames} frames is longer than the longest bucket, {rule.max_frames}",
            hint="run it in windows (trtforge.speech.framewise), or build with a longer profile",
        )
    return min(fitting, key=lambda bucket: (bucket.num_frames, -bucket.max_rows))


def buckets_of(
    profiles: Sequence[OptimizationProfile], input_name: str, *, time_axis: int = -1
) -> tuple[Bucket, ...]:
    """Return the largest shape of each profile as a bucket.

    Parameters
    ----------
    profiles : of the engine.
    input_name : the input that requests fill; its first axis is the batch.
    time_axis : its axis of time.

    Raises
    ------
    ProfileError : there is no profile, one lacks the input, or one takes no single row.
    """
    buckets = []
    for profile in profiles:
        shapes = profile.shapes.get(input_name)
        if shapes is None or len(shapes.max) < 2:
            raise ProfileError(f"a profile has no shapes of rows for input {input_name!r}: {profile.shapes}")
        if shapes.min[0] != 1:
            raise ProfileError(
                f"profile {input_name!r} takes {shapes.min[0]} rows or more; batching needs one that takes 1"
            )
        buckets.append(Bucket(shapes.max[time_axis], shapes.max[0]))
    if not buckets:
        raise ProfileError("the engine has no profiles, so there are no shapes to choose from")
    return tuple(sorted(set(buckets)))


def _cheapest(ordered: Sequence[Request], oldest: Request, rule: BatchingRule) -> Batch:
    """Return the batch with the oldest request that costs least for each frame of audio."""
    ranked: list[tuple[tuple[float, int, int], Batch]] = []
    for bucket in rule.buckets:
        if bucket.num_frames < oldest.num_frames:
            continue
        others = [r for r in ordered if r is not oldest and r.num_frames <= bucket.num_frames]
        # The longest leave least padding; of equals those that came first.
        others.sort(key=lambda request: (-request.num_frames, request.number))
        rows = [oldest, *others][: bucket.max_rows]
        frames = 0
        for count, request in enumerate(rows, start=1):
            frames += request.num_frames
            cost = (bucket.num_frames * count + rule.overhead_frames) / max(1, frames)
            rank = (cost, bucket.num_frames, -count)
            if not ranked or rank < ranked[-1][0]:
                chosen = tuple(sorted(rows[:count], key=lambda request: request.number))
                ranked.append((rank, Batch(bucket, chosen)))
    return ranked[-1][1]
