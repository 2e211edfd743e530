"""The two 16-bit types that a network can be typed in, and what each can hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trtforge.graph.float16_range import MAX_ROUNDING_ERROR

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

# Values looked at together, so that large weights need no copies in double precision.
_PIECE = 1 << 20


@dataclass(frozen=True)
class HalfType:
    """A 16-bit floating-point type.

    Parameters
    ----------
    name : as in ``tensor(float16)``.
    label : as people write it.
    opset : the first in which all operators that take the type at all do so.
    overflow : the least magnitude that rounds to infinity: half a step above the largest number.
    """

    name: str
    label: str
    opset: int
    overflow: float

    @property
    def elem_type(self) -> int:
        """The type's ``onnx.TensorProto.DataType``."""
        import onnx

        return int(onnx.TensorProto.DataType.Value(self.name.upper()))

    def round(self, values: NDArray[np.generic]) -> NDArray[np.float32]:
        """Round float32 values to the nearest of the type, even on ties; the result is float32."""
        wide = np.asarray(values, dtype=np.float32)
        if self is FLOAT16:
            with np.errstate(over="ignore", under="ignore"):
                return np.asarray(wide.astype(np.float16), dtype=np.float32)
        return np.asarray((_bfloat16_bits(wide).astype(np.uint32) << 16).view(np.float32)).reshape(wide.shape)

    def tensor(self, values: NDArray[np.generic], name: str) -> onnx.TensorProto:
        """Round float32 values and return them as a constant of the type."""
        import onnx

        wide = np.asarray(values, dtype=np.float32)
        raw = b"".join(self._bytes(piece) for piece in _pieces(wide))
        return onnx.helper.make_tensor(name, self.elem_type, wide.shape, raw, raw=True)

    def _bytes(self, wide: NDArray[np.float32]) -> bytes:
        with np.errstate(over="ignore", under="ignore"):
            half = wide.astype(np.float16) if self is FLOAT16 else _bfloat16_bits(wide)
        return half.astype(half.dtype.newbyteorder("<"), copy=False).tobytes()

    def loses(self, values: NDArray[np.generic], *, each: bool) -> bool:
        """Say whether rounding makes a finite value infinite, or changes the values by over 1 %.

        Parameters
        ----------
        values : float32.
        each : whether one value that moves by that much is enough; else it is the root mean square of all
            moves, set against that of the values, as for activations.
        """
        noise = energy = 0.0
        for piece in _pieces(np.asarray(values, dtype=np.float32)):
            piece = piece[np.isfinite(piece) & (piece != 0)]
            if np.abs(piece).max(initial=0.0) >= self.overflow:
                return True
            written = piece.astype(np.float64)
            moves = np.abs(self.round(piece).astype(np.float64) - written)
            if each and (moves > MAX_ROUNDING_ERROR * np.abs(written)).any():
                return True
            noise, energy = noise + float(np.square(moves).sum()), energy + float(np.square(written).sum())
        return not each and noise > MAX_ROUNDING_ERROR**2 * energy


FLOAT16 = HalfType("float16", "FP16", 13, 65520.0)
BFLOAT16 = HalfType("bfloat16", "BF16", 22, (2 - 2.0**-8) * 2.0**127)


def _pieces(wide: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    flat = wide.reshape(-1)
    return (flat[start : start + _PIECE] for start in range(0, flat.size, _PIECE))


def _bfloat16_bits(wide: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return the upper halves of float32 values, rounded to nearest, even on ties."""
    bits = np.ascontiguousarray(wide).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    # Adding could carry a NaN over to zero; a quiet one of the same sign stands for it.
    return np.where(np.isnan(wide), (bits >> 16) | 0x40, rounded).astype(np.uint16).reshape(wide.shape)
