"""Round weights to INT8, one scale for each output channel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import QuantizationError
from trtforge.scales import INT8_MAX

# A channel of zeros gets this amax: any positive scale represents it exactly, a scale of zero is not allowed.
_ZEROS_AMAX = 1.0
# Elements of a weight that are worked on at once.
_SLAB = 1 << 20


@dataclass(frozen=True)
class QuantizedWeight:
    """A weight in symmetric INT8.

    Parameters
    ----------
    values : int8, the weight's shape, -127 to 127.
    scale : float32 or float16 [channels], weight units for one INT8 step; a scalar where ``axis`` is None.
    axis : the axis that ``scale`` runs along, or None where one scale serves the whole tensor.
    num_floored : number of channels that are all zeros, whose scale is a stand-in.
    """

    values: NDArray[np.int8]
    scale: NDArray[np.floating]
    axis: int | None
    num_floored: int

    def dequantized(self) -> NDArray[np.float32]:
        """Return the values that the network will compute with, float32."""
        scale = np.asarray(self.scale, dtype=np.float32)
        return self.values.astype(np.float32) * _along(scale, self.axis, self.values.ndim)


def quantize_weight(
    weight: NDArray[np.generic], axis: int | None, *, scale_dtype: type[np.floating] = np.float32
) -> QuantizedWeight:
    """Round a weight to INT8 so that the largest magnitude of each channel becomes 127.

    The scale is brought to its stored dtype first, rounding up, and the weight is divided by what is stored:
    so an FP16 scale costs no systematic error, and nothing is clipped.

    Parameters
    ----------
    weight : floating point, any shape.
    axis : axis of the output channels, or None for one scale.
    scale_dtype : ``numpy.float32`` or ``numpy.float16``.

    Raises
    ------
    QuantizationError : the weight holds a NaN or infinity, or its scale exceeds the dtype.

    References
    ----------
    H. Wu et al., "Integer Quantization for Deep Learning Inference: Principles and Empirical Evaluation",
    arXiv:2004.09602, sections 3.1 and 3.2.
    """
    weight = np.asarray(weight)
    scale = weight_scale(weight, axis, INT8_MAX, scale_dtype)
    zeros = _amax(weight, axis) == 0
    values = np.empty(weight.shape, np.int8)
    for slab, steps in divided(weight, scale, axis):
        values[slab] = np.clip(np.rint(steps), -INT8_MAX, INT8_MAX)
    return QuantizedWeight(values, scale, axis, int(np.count_nonzero(zeros)))


def divided(
    weight: NDArray[np.generic], scale: NDArray[np.floating], axis: int | None
) -> Iterator[tuple[tuple[slice, ...], NDArray[np.float64]]]:
    """Divide a weight by its scales, piece by piece.

    Parameters
    ----------
    weight, scale, axis : as in `QuantizedWeight`, the weight in floating point.

    Yields
    ------
    The index of a piece, and its quotients in double precision.
    """
    along = np.broadcast_to(_along(scale.astype(np.float64), axis, weight.ndim), weight.shape)
    for slab in slabs(weight.shape, 0):
        yield slab, weight[slab].astype(np.float64) / along[slab]


def weight_scale(
    weight: NDArray[np.generic], axis: int | None, largest: float, scale_dtype: type[np.floating]
) -> NDArray[np.floating]:
    """Return the scales by which the largest magnitude of each channel becomes ``largest``, rounded up.

    Raises
    ------
    QuantizationError : the weight holds a NaN or infinity, or a scale exceeds the dtype.
    """
    require_finite(weight)
    amax = _amax(weight, axis)
    return round_up(np.where(amax == 0, _ZEROS_AMAX, amax) / largest, scale_dtype)


def require_finite(weight: NDArray[np.generic]) -> None:
    """Refuse a weight that holds a NaN or infinity, with `QuantizationError`."""
    if num_wrong := weight.size - int(np.count_nonzero(np.isfinite(weight))):
        raise QuantizationError(
            f"{num_wrong} of {weight.size} values are NaN or infinite",
            hint="train or export the network again, or leave the layer out with exclude",
            settings=("exclude",),
        )


@contextmanager
def naming_weight(name: str) -> Iterator[None]:
    """Begin the errors about a weight with its name."""
    try:
        yield
    except QuantizationError as error:
        raise QuantizationError(
            f"weight {name!r}: {error.message}", hint=error.hint, settings=error.settings
        ) from error


def _amax(weight: NDArray[np.generic], axis: int | None) -> NDArray[np.float64]:
    others = tuple(other for other in range(weight.ndim) if axis is None or other != axis)
    largest, smallest = weight.max(axis=others, initial=0), weight.min(axis=others, initial=0)
    return np.maximum(np.asarray(largest, np.float64), -np.asarray(smallest, np.float64))


def slabs(shape: tuple[int, ...], axis: int, multiple: int = 1) -> Iterator[tuple[slice, ...]]:
    """Cut a weight across an axis, so that large ones need no copies in double precision.

    Parameters
    ----------
    shape : of the weight.
    axis : what is cut, 0 or more.
    multiple : the lengths of the pieces along it are a multiple of this, but for the last.

    Yields
    ------
    Indices of pieces of about 2**20 elements.
    """
    if not shape:
        yield ()
        return
    across = math.prod(shape) // max(1, shape[axis])
    step = max(1, _SLAB // max(1, across) // multiple) * multiple
    for start in range(0, shape[axis], step):
        yield (*[slice(None)] * axis, slice(start, start + step))


def round_up(scale: NDArray[np.float64] | float, dtype: type[np.floating]) -> NDArray[np.floating]:
    """Bring positive scales to a dtype, taking the next value above where the exact one is not in it.

    The smallest FP16 number, 6e-8, stands for all below it.

    Raises
    ------
    QuantizationError : a scale exceeds the largest number of the dtype.
    """
    exact = np.asarray(scale, dtype=np.float64)
    largest = float(np.finfo(dtype).max)
    if (exact > largest).any():
        raise QuantizationError(
            f"a scale of {exact.max():.6g} does not fit {np.dtype(dtype).name}, whose largest is {largest:g}",
            hint='leave the layer out with exclude, or quantize with rest="float32"',
            settings=("exclude", "rest"),
        )
    with np.errstate(under="ignore"):
        nearest = exact.astype(dtype)
    above = np.nextafter(nearest, np.asarray(np.inf, dtype=dtype))
    return np.where(nearest.astype(np.float64) < exact, above, nearest)


def _along(scale: NDArray[np.floating], axis: int | None, rank: int) -> NDArray[np.floating]:
    if axis is None:
        return scale
    return scale.reshape([-1 if position == axis else 1 for position in range(rank)])
