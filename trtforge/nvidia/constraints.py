"""Ask a weakly typed library for FP16 in what is not quantized."""

from __future__ import annotations

from typing import Any

# Layers that state types or do no arithmetic, and those that FP16 may spoil: they are left to the library.
_LEFT_ALONE = (
    "CAST",
    "CONSTANT",
    "DEQUANTIZE",
    "IDENTITY",
    "NORMALIZATION",
    "QUANTIZE",
    "REDUCE",
    "SHAPE",
    "SOFTMAX",
    "UNARY",
)


def prefer_float16(trt: Any, network: Any) -> int:
    """Set the precision of every layer that computes in FP32, and that INT8 does not reach, to FP16.

    A layer that reads a dequantizer, or one through changes of layout, is INT8's. Output types are left to
    the library, so that a quantizer still finds what it can read. The builder wants the flag
    ``PREFER_PRECISION_CONSTRAINTS`` too; where it has no such implementation it takes another.

    Parameters
    ----------
    trt : the library.
    network : an ``INetworkDefinition`` as it was parsed; changed in place.

    Returns
    -------
    The number of layers that were set.
    """
    left_alone = {getattr(trt.LayerType, name) for name in _LEFT_ALONE}
    dequantized: set[str] = set()
    count = 0
    for position in range(network.num_layers):
        layer = network.get_layer(position)
        made = [layer.get_output(index) for index in range(layer.num_outputs)]
        read = [layer.get_input(index) for index in range(layer.num_inputs)]
        is_fed = any(tensor is not None and tensor.name in dequantized for tensor in read)
        if layer.type == trt.LayerType.DEQUANTIZE or (is_fed and layer.type == trt.LayerType.SHUFFLE):
            dequantized.update(tensor.name for tensor in made)
        if layer.type in left_alone or is_fed:
            continue
        if all(tensor.dtype == trt.DataType.FLOAT and not tensor.is_shape_tensor for tensor in made):
            layer.precision = trt.DataType.HALF
            count += 1
    return count
