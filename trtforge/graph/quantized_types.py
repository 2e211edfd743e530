"""The types that a network's layers are quantized to, and how their constants are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trtforge.graph.float8 import FLOAT8_MAX, to_float8
from trtforge.graph.weights import divided, quantize_weight, round_up, weight_scale
from trtforge.scales import INT8_MAX

if TYPE_CHECKING:
    import onnx

QuantizedTo: TypeAlias = Literal["int8", "float8"]


@dataclass(frozen=True)
class Int8:
    """Symmetric INT8, -127 to 127."""

    largest: float = float(INT8_MAX)

    def weight(
        self, value: NDArray[np.generic], axis: int | None, scale_dtype: type[np.floating], name: str
    ) -> tuple[onnx.TensorProto, NDArray[np.floating]]:
        """Return a weight as it is stored, and its scale; see `quantize_weight`."""
        from onnx import numpy_helper

        made = quantize_weight(value, axis, scale_dtype=scale_dtype)
        return numpy_helper.from_array(made.values, name), made.scale

    def zero_point(self, shape: Sequence[int], name: str) -> onnx.TensorProto:
        """Return zeros of the type."""
        from onnx import numpy_helper

        return numpy_helper.from_array(np.zeros(tuple(shape), np.int8), name)


@dataclass(frozen=True)
class Float8:
    """FP8 (E4M3), -448 to 448."""

    largest: float = FLOAT8_MAX

    def weight(
        self, value: NDArray[np.generic], axis: int | None, scale_dtype: type[np.floating], name: str
    ) -> tuple[onnx.TensorProto, NDArray[np.floating]]:
        """Return a weight as it is stored, and its scale, by which the largest of a channel becomes 448."""
        scale = weight_scale(value, axis, self.largest, scale_dtype)
        bits = np.empty(value.shape, np.uint8)
        for slab, quotients in divided(value, scale, axis):
            bits[slab] = to_float8(quotients)
        return float8_tensor(bits, name), scale

    def zero_point(self, shape: Sequence[int], name: str) -> onnx.TensorProto:
        """Return zeros of the type."""
        return float8_tensor(np.zeros(tuple(shape), np.uint8), name)


def float8_tensor(bits: NDArray[np.uint8], name: str) -> onnx.TensorProto:
    """Store FP8 patterns under a name."""
    import onnx

    return onnx.TensorProto(
        name=name, data_type=onnx.TensorProto.FLOAT8E4M3FN, dims=bits.shape, raw_data=bits.tobytes()
    )


def activation_scale(amax: float, largest: float, dtype: type[np.floating]) -> NDArray[np.floating]:
    """Return the scale that brings ``amax`` to the largest number of the quantized type."""
    return np.asarray(round_up(amax / largest, dtype))


QUANTIZED_TYPES: dict[str, Int8 | Float8] = {"int8": Int8(), "float8": Float8()}
