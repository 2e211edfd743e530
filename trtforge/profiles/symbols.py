"""Profiles from the names of a network's axes: inputs that share a name move together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trtforge.errors import ProfileError
from trtforge.model import TensorSpec
from trtforge.profiles.shapes import UNNAMED_AXIS, OptimizationProfile, ShapeRange


def profile_from_axes(
    inputs: Sequence[TensorSpec], axes: Mapping[str, Sequence[int]]
) -> OptimizationProfile | None:
    """Make the profile that gives each named axis its range, in whichever inputs it occurs.

    Parameters
    ----------
    inputs : the network's inputs (`trtforge.model.model_inputs`).
    axes : (min, opt, max) of each dynamic axis by its name, such as
        ``{"batch": (1, 8, 8), "frames": (64, 500, 1000)}``.

    Returns
    -------
    The profile; None where every input is fixed.

    Raises
    ------
    ProfileError : a dynamic axis has no range or no name, or a range names none of the network's axes.
    """
    names = {size for spec in inputs for size in spec.shape if isinstance(size, str)}
    if UNNAMED_AXIS in names:
        raise ProfileError(
            f"an axis without a name cannot be given a range by name: {'; '.join(map(str, inputs))}",
            hint="give OptimizationProfile the shapes of each input",
        )
    if names != set(axes):
        raise ProfileError(f"the network's dynamic axes are {sorted(names)}, got ranges for {sorted(axes)}")
    for name, sizes in axes.items():
        if not isinstance(sizes, Sequence) or len(sizes) != 3:
            raise ProfileError(f"axis {name!r}: wanted min, opt and max, got {sizes!r}")
    return _profile(inputs, [[axes[s] if isinstance(s, str) else s for s in spec.shape] for spec in inputs])


def profile_for_axes(
    inputs: Sequence[TensorSpec],
    batch: Sequence[int],
    frames: Sequence[int],
    axes: Mapping[str, Sequence[int]],
) -> OptimizationProfile | None:
    """Make the profile whose inputs have the batch as first axis, where dynamic, and time as every other.

    Parameters
    ----------
    inputs : the network's inputs.
    batch, frames : (min, opt, max).
    axes : the same for axes that are neither, by name.

    Returns
    -------
    The profile; None where every input is fixed.

    Raises
    ------
    ProfileError : a name in ``axes`` is none of the network's.
    """
    names = {size for spec in inputs for size in spec.shape if isinstance(size, str)}
    unknown = sorted(set(axes) - names)
    if unknown:
        raise ProfileError(f"no input has an axis {unknown}; the dynamic axes are {sorted(names)}")
    sizes = [
        [
            axes.get(size, frames if index else batch) if isinstance(size, str) else size
            for index, size in enumerate(spec.shape)
        ]
        for spec in inputs
    ]
    return _profile(inputs, sizes)


def _profile(
    inputs: Sequence[TensorSpec], sizes: Sequence[Sequence[int | Sequence[int]]]
) -> OptimizationProfile | None:
    shapes = {}
    for spec, axes in zip(inputs, sizes, strict=True):
        if any(isinstance(size, str) for size in spec.shape):
            low, opt, high = (
                tuple(size if isinstance(size, int) else int(size[which]) for size in axes)
                for which in range(3)
            )
            shapes[spec.name] = ShapeRange(low, opt, high)
    return OptimizationProfile(shapes) if shapes else None
