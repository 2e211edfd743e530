"""Round weights to INT8, one scale for each output channel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import QuantizationError
from trtforge.scales import INT8_MAX

# A channel of zeros gets this amax: any positive scale represents it exactly, a scale of zero is not allowed.
_ZEROS_AMAX = 1.0


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
    exact = np.asarray(weight, dtype=np.float64)
    scale = weight_scale(exact, axis, INT8_MAX, scale_dtype)
    zeros = _amax(exact, axis) == 0
    steps = exact / _along(scale.astype(np.float64), axis, exact.ndim)
    values = np.clip(np.rint(steps), -INT8_MAX, INT8_MAX).astype(np.int8)
    return QuantizedWeight(values, scale, axis, int(np.count_nonzero(zeros)))


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
    found: NDArray[np.float64] = np.abs(np.asarray(weight, np.float64)).max(axis=others, initial=0.0)
    return found


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
