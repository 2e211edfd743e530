"""A plan of optimization profiles: buckets of lengths, what they cost, and what they leave out."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

from trtforge._files import read_json, write_json
from trtforge.errors import ProfileError
from trtforge.model import TensorSpec
from trtforge.profiles.shapes import OptimizationProfile
from trtforge.profiles.symbols import profile_for_axes

FORMAT = "trtforge.profiles/1"
OUTSIDE = ("reject", "cut", "extend")

# By how much sums of the same costs may differ.
_ROUNDING = 1e-9

Triple: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True)
class Bucket:
    """The lengths that one profile takes.

    Parameters
    ----------
    frames : shortest, tuned-for and longest length, in frames of the network's input.
    num_items : items of the workload that fall in it.
    exact, padded : cost of these items at their own lengths, and padded to the tuned-for length, in the cost
        model's unit.

    Raises
    ------
    ProfileError : it holds no item, or costs are not positive and finite, or fall by padding.
    """

    frames: Triple
    num_items: int
    exact: float
    padded: float

    def __post_init__(self) -> None:
        least = self.exact * (1 - _ROUNDING)
        if not (0 < self.exact < math.inf and least <= self.padded < math.inf and self.num_items >= 1):
            raise ProfileError(
                f"bucket {self.frames}: wanted one item or more, and a positive cost that padding does not "
                f"lower, got {self.num_items} items, exact {self.exact}, padded {self.padded}"
            )

    @property
    def waste(self) -> float:
        """Share of the exact cost that padding adds."""
        return self.padded / self.exact - 1


@dataclass(frozen=True)
class WastePoint:
    """What the cheapest plan with a given number of profiles wastes, as a share of the exact cost."""

    num_profiles: int
    waste: float


@dataclass(frozen=True)
class Coverage:
    """What lies outside the planned lengths, and what happens to it.

    Parameters
    ----------
    num_items, frames : the whole workload.
    outside_items, outside_frames : the part of it that is longer than planned for.
    policy : ``reject``: no profile takes it. ``cut``: it is cut into pieces of the longest planned length,
        which are planned for. ``extend``: the last profile takes it, though it is tuned for less.

    Raises
    ------
    ProfileError : a value contradicts another, or the policy is unknown.
    """

    num_items: int
    frames: int
    outside_items: int
    outside_frames: int
    policy: str

    def __post_init__(self) -> None:
        counts = (self.outside_items, self.num_items, self.outside_frames, self.frames)
        if not (
            all(isinstance(count, int) for count in counts)
            and 0 <= self.outside_items <= self.num_items
            and 0 <= self.outside_frames <= self.frames
            and min(self.num_items, self.frames) >= 1
        ):
            raise ProfileError(f"coverage {counts}: wanted whole numbers, and no more outside than there is")
        if self.policy not in OUTSIDE:
            raise ProfileError(f"coverage: the policy must be one of {OUTSIDE}, got {self.policy!r}")

    def __str__(self) -> str:
        if not self.outside_items:
            return f"all {self.num_items} lengths lie inside"
        fate = {
            "reject": "refused",
            "cut": "cut to the longest planned length",
            "extend": "taken by the last profile, untuned",
        }[self.policy]
        items, frames = self.outside_items / self.num_items, self.outside_frames / self.frames
        return (
            f"{self.outside_items} of {self.num_items} lengths "
            f"({100 * items:.3g} %, {100 * frames:.3g} % of the frames) are longer than planned for: {fate}"
        )


@dataclass(frozen=True)
class ProfilePlan:
    """Buckets of lengths, and the batch sizes that each takes.

    Parameters
    ----------
    buckets : ascending, without gaps.
    batch : smallest, tuned-for and largest number of rows.
    curve : the waste of the cheapest plan with 1, 2, ... profiles.
    coverage : what the buckets leave out.

    Raises
    ------
    ProfileError : buckets are missing, unordered, overlap or leave gaps, or a size is below 1.
    """

    buckets: tuple[Bucket, ...]
    batch: Triple
    curve: tuple[WastePoint, ...]
    coverage: Coverage

    def __post_init__(self) -> None:
        for what, triple in (
            ("batch", self.batch),
            *((f"bucket {b.frames}", b.frames) for b in self.buckets),
        ):
            if len(triple) != 3 or not 1 <= triple[0] <= triple[1] <= triple[2]:
                raise ProfileError(f"{what}: wanted 1 <= min <= opt <= max, got {triple}")
        if not self.buckets:
            raise ProfileError("a plan needs at least one bucket")
        for left, right in pairwise(self.buckets):
            if right.frames[0] != left.frames[2] + 1:
                raise ProfileError(f"bucket {right.frames} does not begin where {left.frames} ends")

    @property
    def exact(self) -> float:
        """Cost of the items inside at their own lengths."""
        return sum(bucket.exact for bucket in self.buckets)

    @property
    def padded(self) -> float:
        """Cost of the items inside, each padded to its bucket's tuned-for length."""
        return sum(bucket.padded for bucket in self.buckets)

    @property
    def waste(self) -> float:
        """Share of the exact cost that padding adds."""
        return self.padded / self.exact - 1

    def profiles(
        self, inputs: Sequence[TensorSpec], *, axes: Mapping[str, Triple] | None = None
    ) -> tuple[OptimizationProfile, ...]:
        """Make the profiles for a network.

        Parameters
        ----------
        inputs : the network's inputs (`trtforge.model.model_inputs`).
        axes : sizes of dynamic axes that are neither batch nor time, by name. The first axis of an input,
            where dynamic, is the batch, and every other dynamic axis that is not named here is time.

        Returns
        -------
        One profile for each bucket; none where every input is fixed.

        Raises
        ------
        ProfileError : a name in ``axes`` is none of the network's.
        """
        found = [profile_for_axes(inputs, self.batch, bucket.frames, axes or {}) for bucket in self.buckets]
        return tuple(profile for profile in found if profile is not None)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return {
            "format": FORMAT,
            "batch": list(self.batch),
            "buckets": [{**vars(bucket), "frames": list(bucket.frames)} for bucket in self.buckets],
            "curve": [dict(vars(point)) for point in self.curve],
            "coverage": dict(vars(self.coverage)),
        }

    @classmethod
    def from_json(cls, value: Any) -> ProfilePlan:
        """Read what `to_json` returned.

        Raises
        ------
        ProfileError : it is something else.
        """
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ProfileError(f'a plan of profiles must say "format": "{FORMAT}"')
        try:
            return cls(
                buckets=tuple(
                    Bucket(
                        _triple(row["frames"]),
                        int(row["num_items"]),
                        float(row["exact"]),
                        float(row["padded"]),
                    )
                    for row in value["buckets"]
                ),
                batch=_triple(value["batch"]),
                curve=tuple(
                    WastePoint(int(row["num_profiles"]), float(row["waste"])) for row in value["curve"]
                ),
                coverage=Coverage(**value["coverage"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ProfileError(f"a plan of profiles is malformed: {error!r}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan as JSON."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ProfilePlan:
        """Read a plan that `save` wrote.

        Raises
        ------
        ProfileError : the file is missing or is no plan; the message names it.
        """
        value = read_json(path, what="plan of profiles", error=ProfileError)
        try:
            return cls.from_json(value)
        except ProfileError as error:
            raise ProfileError(f"{os.fspath(path)}: {error.message}", hint=error.hint) from error


def _triple(value: Any) -> Triple:
    low, opt, high = value
    if not all(type(size) is int for size in (low, opt, high)):
        raise TypeError(f"{value} must be three whole numbers")
    return low, opt, high
