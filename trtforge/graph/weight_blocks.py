"""Round weights to INT8 or INT4 in blocks along the summed axis, each with a scale of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import QuantizationError
from trtforge.graph.weights import require_finite, round_up, slabs

if TYPE_CHECKING:
    import onnx

_LARGEST = {8: 127, 4: 7}
# Cutting off the largest values of a block gives the others finer levels; with 16 levels that pays.
_SHARES = tuple(np.linspace(0.7, 1.0, 13))


@dataclass(frozen=True)
class WeightBlocks:
    """A weight in blocks.

    Parameters
    ----------
    values : int8, the weight's shape; -8 to 7 for INT4.
    scale : float32 or float16, the weight's shape with the blocked axis divided by the block size.
    axis : the blocked axis.
    block_size : number of elements that share a scale.
    bits : 8 or 4.
    """

    values: NDArray[np.int8]
    scale: NDArray[np.floating]
    axis: int
    block_size: int
    bits: int

    def dequantized(self) -> NDArray[np.float32]:
        """Return the values that the network will compute with, float32."""
        along = np.repeat(self.scale.astype(np.float32), self.block_size, axis=self.axis)
        return self.values.astype(np.float32) * along

    def tensor(self, name: str) -> onnx.TensorProto:
        """Return the values as a constant, two INT4 to a byte."""
        import onnx

        if self.bits == 8:
            return onnx.numpy_helper.from_array(self.values, name)
        nibbles = np.resize(self.values.reshape(-1) & 0x0F, -(-self.values.size // 2) * 2).astype(np.uint8)
        if self.values.size % 2:
            nibbles[-1] = 0
        packed = nibbles[::2] | (nibbles[1::2] << 4)
        return onnx.TensorProto(
            name=name,
            data_type=onnx.TensorProto.INT4,
            dims=self.values.shape,
            raw_data=packed.astype(np.uint8).tobytes(),
        )


def quantize_blocks(
    weight: NDArray[np.generic],
    axis: int,
    block_size: int,
    *,
    bits: int,
    scale_dtype: type[np.floating] = np.float32,
) -> WeightBlocks:
    """Round a weight in blocks, the scale of each that of the least squared error.

    Parameters
    ----------
    weight : floating point, any shape.
    axis : the axis that products sum over.
    block_size : number of its elements that share a scale; divides its length.
    bits : 8 or 4.
    scale_dtype : ``numpy.float32`` or ``numpy.float16``; the weight is divided by the scale as it is stored.

    Raises
    ------
    QuantizationError : the weight holds a NaN or infinity, or the axis is not divided evenly.

    References
    ----------
    ONNX operator DequantizeLinear of opset 21, attribute ``block_size``. The error is measured for ranges
    from 0.7 to 1 of the block's largest magnitude.
    """
    weight = np.asarray(weight)
    require_finite(weight)
    if block_size < 1 or weight.shape[axis] % block_size:
        raise QuantizationError(
            f"blocks of {block_size} do not divide axis {axis} of a weight of shape {list(weight.shape)}",
            settings=("block_size",),
        )
    parts = [
        _round(weight[slab].astype(np.float64), axis, block_size, _LARGEST[bits], scale_dtype)
        for slab in slabs(weight.shape, axis, block_size)
    ]
    values, scale = (np.concatenate(pieces, axis=axis) for pieces in zip(*parts, strict=True))
    return WeightBlocks(values, scale, axis, block_size, bits)


def _round(
    exact: NDArray[np.float64], axis: int, block_size: int, largest: int, scale_dtype: type[np.floating]
) -> tuple[NDArray[np.int8], NDArray[np.floating]]:
    """Return the levels of a piece of whole blocks, and their scales."""
    shape = [*exact.shape[:axis], exact.shape[axis] // block_size, block_size, *exact.shape[axis + 1 :]]
    blocks = exact.reshape(shape)
    amax = np.abs(blocks).max(axis=axis + 1, keepdims=True)
    amax = np.where(amax == 0, 1.0, amax)
    best_error = np.full(amax.shape, np.inf)
    best_scale = np.zeros(amax.shape, scale_dtype)
    for share in _SHARES:
        scale = round_up(amax * share / largest, scale_dtype)
        levels = np.clip(np.rint(blocks / scale.astype(np.float64)), -largest - 1, largest)
        error = np.square(levels * scale.astype(np.float64) - blocks).sum(axis=axis + 1, keepdims=True)
        better = error < best_error
        best_error = np.where(better, error, best_error)
        best_scale = np.where(better, scale, best_scale)
    levels = np.clip(np.rint(blocks / best_scale.astype(np.float64)), -largest - 1, largest)
    return levels.astype(np.int8).reshape(exact.shape), np.squeeze(best_scale, axis + 1)
