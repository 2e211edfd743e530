"""Round to FP8 (E4M3): one sign, four exponent and three mantissa bits, no infinity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLOAT8_MAX = 448.0

_BITS = np.arange(127)
_EXPONENTS, _MANTISSAS = _BITS >> 3, _BITS & 7
# Magnitude of each pattern without sign; the 127th is NaN.
_MAGNITUDES = np.where(
    _EXPONENTS == 0, _MANTISSAS / 8 * 2.0**-6, (1 + _MANTISSAS / 8) * 2.0 ** (_EXPONENTS - 7)
).astype(np.float32)
_MIDDLES = (_MAGNITUDES[:-1].astype(np.float64) + _MAGNITUDES[1:]) / 2


def to_float8(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Round to the nearest FP8 number, ties to even, magnitudes above 448 to 448.

    Parameters
    ----------
    values : finite numbers, any shape.

    Returns
    -------
    bits : uint8, the patterns, as ``onnx.TensorProto.FLOAT8E4M3FN`` stores them.

    References
    ----------
    P. Micikevicius et al., "FP8 Formats for Deep Learning", 2022, arXiv:2209.05433.
    """
    exact = np.asarray(values, np.float64)
    magnitude = np.abs(exact)
    below = np.searchsorted(_MIDDLES, magnitude, side="left")
    is_tie = (below < len(_MIDDLES)) & (magnitude == _MIDDLES[np.minimum(below, len(_MIDDLES) - 1)])
    nearest = below + (is_tie & (below % 2 == 1))
    bits: NDArray[np.uint8] = (nearest | (np.signbit(exact).astype(np.int64) << 7)).astype(np.uint8)
    return bits


def from_float8(bits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the numbers that FP8 patterns stand for, float32; the patterns are those of numbers."""
    magnitude = _MAGNITUDES[bits & 0x7F]
    values: NDArray[np.float32] = np.where(bits & 0x80, -magnitude, magnitude).astype(np.float32)
    return values
