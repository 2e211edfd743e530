"""Optimization profiles as values: check them and choose between them."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from trtforge.errors import ProfileError
from trtforge.model import TensorSpec

Shape: TypeAlias = tuple[int, ...]

# How `trtforge.model` names a dynamic axis that the network leaves without a name.
UNNAMED_AXIS = "?"
_VALUE_DTYPES = ("int32", "int64")
_NOTHING: Mapping[str, Sequence[int]] = {}


@dataclass(frozen=True)
class ShapeRange:
    """The shapes that one input may take, and the one to tune for.

    Parameters
    ----------
    min, opt, max : shapes of equal rank; each axis is positive and ``min <= opt <= max``.

    Raises
    ------
    ProfileError : a size is no whole number.
    """

    min: Shape
    opt: Shape
    max: Shape

    def __post_init__(self) -> None:
        for kind in ("min", "opt", "max"):
            given = getattr(self, kind)
            try:
                sizes = tuple(operator.index(size) for size in given)
            except TypeError:
                raise ProfileError(
                    f"a shape must be whole numbers, such as (1, 80, 64), got {given!r}"
                ) from None
            object.__setattr__(self, kind, sizes)

    @property
    def triple(self) -> tuple[Shape, Shape, Shape]:
        """Minimum, optimum and maximum."""
        return self.min, self.opt, self.max

    def __contains__(self, shape: Sequence[int]) -> bool:
        return len(shape) == len(self.min) and all(
            low <= size <= high for low, size, high in zip(self.min, shape, self.max, strict=True)
        )

    def __str__(self) -> str:
        axes = zip(self.min, self.max, strict=True)
        return f"({', '.join(f'{low}' if low == high else f'{low} to {high}' for low, high in axes)})"

    def check(self, name: str, *, least: int | None = 0) -> None:
        """Raise ProfileError, naming the input, unless the three agree and no size is below ``least``."""
        ranks = {len(self.min), len(self.opt), len(self.max)}
        if len(ranks) > 1:
            raise ProfileError(
                f"profile {name!r}: min {self.min}, opt {self.opt} and max {self.max} differ in rank; "
                "give each one size for every axis"
            )
        if least is not None and any(size < least for size in self.min):
            raise ProfileError(
                f"profile {name!r}: min {self.min} has an axis below {least}; raise it to {least} or more"
            )
        for low_name, low, high_name, high in (
            ("min", self.min, "opt", self.opt),
            ("opt", self.opt, "max", self.max),
        ):
            for axis, (small, large) in enumerate(zip(low, high, strict=True)):
                if small > large:
                    limit = "max_batch" if (high_name, axis) == ("max", 0) else f"axis {axis} of {high_name}"
                    raise ProfileError(
                        f"profile {name!r}: {low_name} {low} exceeds {high_name} {high}; "
                        f"raise {limit} to {small} or lower {low_name}"
                    )


@dataclass(frozen=True)
class OptimizationProfile:
    """One range of shapes for each dynamic input, tuned together.

    Parameters
    ----------
    shapes : input name to `ShapeRange`, or to a (min, opt, max) tuple of shapes; a profile of
        Polygraphy is such a mapping.
    values : the same for inputs whose values decide shapes inside the network (TensorRT calls them shape
        tensors), as `ShapeRange` of the values in their order instead of sizes.

    Raises
    ------
    ProfileError : a range is empty or of mixed rank, a size is negative, or an input has both.
    """

    shapes: Mapping[str, ShapeRange]
    values: Mapping[str, ShapeRange] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in ("shapes", "values"):
            given = getattr(self, kind)
            if not hasattr(given, "items"):  # Polygraphy's profiles are no `Mapping`
                raise ProfileError(f"a profile's {kind} must be given by input name, got {given!r}")
            ranges = {name: _as_range(name, value) for name, value in given.items()}
            for name, value in ranges.items():
                value.check(name, least=0 if kind == "shapes" else None)
            object.__setattr__(self, kind, ranges)
        both = sorted(self.shapes.keys() & self.values.keys())
        if both:
            raise ProfileError(
                f"profile {both[0]!r}: shapes and values are given; an input whose values decide shapes has "
                "a fixed shape of its own"
            )

    def __str__(self) -> str:
        ranges = (
            *self.shapes.items(),
            *((f"values of {name}", value) for name, value in self.values.items()),
        )
        return "; ".join(f"{name} {value}, tuned for {value.opt}" for name, value in ranges)

    def __contains__(self, shapes: Mapping[str, Sequence[int]]) -> bool:
        return all(name in shapes and shapes[name] in value for name, value in self.shapes.items())

    def holds(self, values: Mapping[str, Sequence[int]]) -> bool:
        """Say whether values of inputs that decide shapes lie in their ranges."""
        return all(values[name] in self.values[name] for name in values if name in self.values)

    @property
    def num_elements(self) -> int:
        """Elements of all inputs at their largest: a measure of how wide the profile is."""
        return sum(math.prod(value.max) for value in self.shapes.values())

    def check_inputs(self, inputs: Sequence[TensorSpec]) -> None:
        """Check that every dynamic input has a range, and that fixed and shared axes are kept.

        Raises
        ------
        ProfileError : an input is missing or unknown, a range contradicts the network, or two axes that share
            a name differ in their ranges.
        """
        specs = {spec.name: spec for spec in inputs}
        for name, value in self.shapes.items():
            if name not in specs:
                raise ProfileError(f"profile {name!r}: the network has no such input, only {sorted(specs)}")
            spec = specs[name]
            if len(spec.shape) != len(value.min):
                raise ProfileError(
                    f"profile {name!r}: max {value.max} has rank {len(value.max)}, the network wants {spec}"
                )
            for axis, size in enumerate(spec.shape):
                if isinstance(size, int) and not value.min[axis] == size == value.max[axis]:
                    raise ProfileError(
                        f"profile {name!r}: axis {axis} is {value.min[axis]} to {value.max[axis]}, "
                        f"but the network fixes it at {size} ({spec})"
                    )
        _check_shared_axes(inputs, self.shapes)
        for name, value in self.values.items():
            _check_values(name, value, specs)
        for spec in inputs:
            if spec.name not in self.shapes and any(isinstance(size, str) for size in spec.shape):
                raise ProfileError(
                    f"profile for input {spec.name!r} is missing: {spec} has dynamic axes",
                    hint="give min, opt and max shapes for it, or use plan_profiles",
                )


def _check_values(name: str, value: ShapeRange, specs: Mapping[str, TensorSpec]) -> None:
    """Raise ProfileError unless an input can hold values that decide shapes, as many as are given."""
    spec = specs.get(name)
    if spec is None:
        raise ProfileError(f"profile {name!r}: the network has no such input, only {sorted(specs)}")
    sizes = [size for size in spec.shape if isinstance(size, int)]
    if spec.dtype not in _VALUE_DTYPES or len(sizes) < len(spec.shape):
        raise ProfileError(
            f"profile {name!r}: values are given for {spec}; only whole numbers in an input of fixed shape "
            "can decide shapes"
        )
    if math.prod(sizes) != len(value.min):
        count = math.prod(sizes)
        raise ProfileError(
            f"profile {name!r}: {len(value.min)} values are given, the network wants {count} ({spec})"
        )


def triples(ranges: Mapping[str, ShapeRange]) -> dict[str, tuple[Shape, Shape, Shape]]:
    """Return minimum, optimum and maximum by input, as vendors take them."""
    return {name: value.triple for name, value in ranges.items()}


def _check_shared_axes(inputs: Sequence[TensorSpec], shapes: Mapping[str, ShapeRange]) -> None:
    """Raise ProfileError where axes of one name are given different ranges: they can only move together."""
    first: dict[str, tuple[str, int, Shape]] = {}
    for spec in inputs:
        if spec.name not in shapes:
            continue
        value = shapes[spec.name]
        for axis, symbol in enumerate(spec.shape):
            if isinstance(symbol, int) or symbol == UNNAMED_AXIS:
                continue
            sizes = (value.min[axis], value.opt[axis], value.max[axis])
            name, other, expected = first.setdefault(symbol, (spec.name, axis, sizes))
            if sizes != expected:
                raise ProfileError(
                    f"profile {spec.name!r}: axis {axis} ({symbol}) is {sizes}, but axis {other} of {name!r} "
                    f"has the same name and is {expected}; give both the same min, opt and max"
                )


def _as_range(name: str, given: ShapeRange | Iterable[Sequence[int]]) -> ShapeRange:
    if isinstance(given, ShapeRange):
        return given
    value = tuple(given) if isinstance(given, Iterable) else (given,)
    if len(value) != 3:
        raise ProfileError(f"profile {name!r}: wanted min, opt and max shapes, got {len(value)} values")
    try:
        return ShapeRange(*cast("tuple[Shape, Shape, Shape]", value))
    except ProfileError as error:
        raise ProfileError(f"profile {name!r}: {error.message}") from None


def choose_profile(
    profiles: Sequence[OptimizationProfile],
    shapes: Mapping[str, Sequence[int]],
    values: Mapping[str, Sequence[int]] = _NOTHING,
) -> int:
    """Return the index of the narrowest profile that holds all the shapes, and the values that decide shapes.

    Parameters
    ----------
    profiles : the engine's profiles; none means that every input is fixed.
    shapes : input name to the shape that arrived.
    values : name of an input that decides shapes to its values, in their order.

    Raises
    ------
    ProfileError : no profile holds them; the message names the input, the axis, what arrived and the ranges.
    """
    if not profiles:
        return 0
    fitting = [index for index, profile in enumerate(profiles) if shapes in profile and profile.holds(values)]
    if fitting:
        return min(fitting, key=lambda index: (profiles[index].num_elements, index))
    hint = "pad or cut the input, or build with wider profiles"
    for name, arrived in values.items():
        ranges = [profile.values[name] for profile in profiles if name in profile.values]
        if ranges and not any(arrived in value for value in ranges):
            accepted = " or ".join(map(str, ranges))
            raise ProfileError(
                f"the values of input {name!r} are {tuple(arrived)}, the engine accepts {accepted}",
                hint="build with wider profiles",
            )
    raise ProfileError(_why_outside(profiles, shapes), hint=hint)


def _why_outside(profiles: Sequence[OptimizationProfile], shapes: Mapping[str, Sequence[int]]) -> str:
    for name in dict.fromkeys(name for profile in profiles for name in profile.shapes):
        arrived = tuple(shapes.get(name, ()))
        ranges = [profile.shapes[name] for profile in profiles if name in profile.shapes]
        if len(ranges) < len(profiles) or any(arrived in value for value in ranges):
            continue  # a profile that leaves out an input takes whatever fixed shape it has
        accepted = " or ".join(map(str, ranges))
        if len(arrived) != len(ranges[0].min):
            return f"input {name!r} has shape {arrived}, the engine accepts {accepted}"
        for axis, size in enumerate(arrived):
            if not any(value.min[axis] <= size <= value.max[axis] for value in ranges):
                limits = " or ".join(f"{value.min[axis]} to {value.max[axis]}" for value in ranges)
                return (
                    f"axis {axis} of input {name!r} is {size}, outside {limits}: "
                    f"{arrived} arrived, the engine accepts {accepted}"
                )
        return f"input {name!r} has shape {arrived}, the engine accepts {accepted}"
    arrived_all = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
    return f"no single profile holds all inputs together: {arrived_all}"
