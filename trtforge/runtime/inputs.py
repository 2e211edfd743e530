"""Check what is fed to a network before it is run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import InputError
from trtforge.feeds import Arrays
from trtforge.model import TensorSpec
from trtforge.profiles.shapes import UNNAMED_AXIS


def check_inputs(
    specs: Sequence[TensorSpec], arrays: Arrays, *, narrow_int64: bool = False
) -> dict[str, NDArray[Any]]:
    """Return the arrays as the network takes them, C-contiguous and in the order of its inputs.

    Parameters
    ----------
    specs : the network's inputs.
    arrays : input name to array.
    narrow_int64 : take int64 arrays for int32 inputs, as libraries without 64-bit integers declare them.

    Raises
    ------
    InputError : a name is missing or unknown, an array has another dtype, rank or fixed size, or axes of one
        name differ in size; or an int64 value does not fit into int32.
    """
    check_named(arrays)
    check_names(specs, arrays)
    checked = {spec.name: check_array(spec, arrays[spec.name], narrow_int64=narrow_int64) for spec in specs}
    check_shared_axes(specs, {name: array.shape for name, array in checked.items()})
    return checked


def check_named(arrays: object) -> None:
    """Raise InputError unless inputs were given by name."""
    if not isinstance(arrays, Mapping):
        raise InputError(
            f"inputs must be given by name, got {type(arrays).__name__}",
            hint="pass a mapping, such as {'mel': array}",
        )


def check_names(specs: Sequence[TensorSpec], names: Collection[str]) -> None:
    """Raise InputError unless ``names`` are those of the network's inputs."""
    wanted = {spec.name for spec in specs}
    unknown, missing = sorted(set(names) - wanted), sorted(wanted - set(names))
    if unknown or missing:
        raise InputError(
            f"the network takes inputs {sorted(wanted)}, got {sorted(names)}"
            + (f"; missing {missing}" if missing else "")
            + (f"; unknown {unknown}" if unknown else "")
        )


def check_array(spec: TensorSpec, array: Any, *, narrow_int64: bool = False) -> NDArray[Any]:
    """Return one input as the network takes it, C-contiguous; raise InputError where it does not fit."""
    if not isinstance(array, np.ndarray):
        raise InputError(
            f"input {spec.name!r} must be a NumPy array, got {type(array).__name__}; wanted {spec}",
            hint=f"pass numpy.asarray(value, dtype={spec.dtype!r})",
        )
    if isinstance(array, np.ma.MaskedArray):
        raise InputError(
            f"input {spec.name!r} is masked, and a network has no masks",
            hint="pass array.filled(value), or array.data",
        )
    check_shape(spec, array.shape)
    if narrow_int64 and spec.dtype == "int32" and array.dtype == np.int64:
        array = _narrow(spec.name, array)
    if str(array.dtype) != spec.dtype:
        raise InputError(
            f"input {spec.name!r} has dtype {array.dtype}, wanted {spec}",
            hint=f"convert it with array.astype({spec.dtype!r})",
        )
    contiguous: NDArray[Any] = np.ascontiguousarray(array).reshape(array.shape)
    return contiguous


def check_numbers(array: object) -> None:
    """Raise InputError unless a value is a NumPy array of numbers or truth values in native byte order."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biufc" or not array.dtype.isnative:
        told = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise InputError(f"only NumPy arrays of numbers can be sent to a GPU, got {told}")


def check_shape(spec: TensorSpec, shape: tuple[int, ...]) -> None:
    """Raise InputError where an input has another rank or fixed size."""
    fits = len(shape) == len(spec.shape) and all(
        isinstance(want, str) or have == want for have, want in zip(shape, spec.shape, strict=True)
    )
    if not fits:
        raise InputError(f"input {spec.name!r} has shape {shape}, wanted {spec}")


def check_shared_axes(specs: Sequence[TensorSpec], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise InputError where axes of one name arrived with different sizes."""
    first: dict[str, tuple[str, int, int]] = {}
    for spec in specs:
        for axis, (symbol, size) in enumerate(zip(spec.shape, shapes[spec.name], strict=True)):
            if isinstance(symbol, int) or symbol == UNNAMED_AXIS:
                continue
            name, other, expected = first.setdefault(symbol, (spec.name, axis, size))
            if size != expected:
                raise InputError(
                    f"axis {axis} ({symbol}) of input {spec.name!r} is {size}, but axis {other} of {name!r} "
                    f"has the same name and is {expected}"
                )


def _narrow(name: str, array: NDArray[Any]) -> NDArray[Any]:
    limits = np.iinfo(np.int32)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise InputError(
            f"input {name!r} holds {array.min()} to {array.max()}, too much for the engine's int32; "
            "the network had int64"
        )
    return array.astype(np.int32)
