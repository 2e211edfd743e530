"""State the kernel shapes of quantized convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.index import GraphIndex, attribute, behind_quantizers
from trtforge.model import copy_model

if TYPE_CHECKING:
    import onnx

_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})


def state_kernel_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write down kernel shapes that ONNX lets a network leave to be read off the weights.

    TensorRT 8.6 reads them off constant weights alone, not off those that are dequantized in the network.
    Convolutions in nested graphs, and weights that are not initializers, are left as they are.

    Parameters
    ----------
    model : not changed.

    Returns
    -------
    The same network with the attributes; the same object where there is nothing to do.
    """
    import onnx

    shapes = _unstated(model)
    if not shapes:
        return model
    made = copy_model(model)
    for position, shape in shapes.items():
        made.graph.node[position].attribute.append(onnx.helper.make_attribute("kernel_shape", shape))
    return made


def _unstated(model: onnx.ModelProto) -> dict[int, list[int]]:
    """Map the positions of convolutions of dequantized weights without a kernel shape to what it is."""
    index = GraphIndex(model.graph)
    found = {}
    for position, node in enumerate(model.graph.node):
        if node.op_type not in _CONVOLUTIONS or index.producer(node.input[1]) is None:
            continue
        weight = index.initializers.get(behind_quantizers(node.input[1], index))
        if weight is not None and attribute(node, "kernel_shape") is None:
            found[position] = list(weight.dims)[2:]
    return found
