"""Write BF16 in FP32 with rounding, for a library that has no BF16 kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trtforge.graph.index import GraphIndex
from trtforge.graph.tensor_types import drop_inferable_types, infer_types

if TYPE_CHECKING:
    import onnx

# What these give is among what they are given, so it is rounded already.
# fmt: off
_PICKING = frozenset({
    "Concat", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Relu", "Reshape", "Slice", "Split",
    "Squeeze", "Tile", "Transpose", "Unsqueeze",
})
# fmt: on


def widen_bfloat16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write a network's BF16 in FP32, rounding to BF16 wherever it had a result in BF16.

    ONNX Runtime casts to and from BF16 on the CPU, but has no kernels there that compute in it. Products and
    sums inside a node are exact to FP32, as on a GPU, whose matrix units add BF16 products in FP32.

    Parameters
    ----------
    model : the network, not changed.

    Returns
    -------
    widened : a network with the same names, whose inputs and outputs are float32 where they were BF16. One
        without BF16 tensors is returned as it is.

    Raises
    ------
    ModelError : the graph's types contradict each other.
    """
    import onnx

    bfloat16 = onnx.TensorProto.BFLOAT16
    if not _holds_bfloat16(model):
        return model
    halves = {name for name, read in infer_types(model).items() if read.elem_type == bfloat16}
    widened = onnx.ModelProto()
    widened.CopyFrom(model)
    graph = widened.graph
    drop_inferable_types(widened)
    index = GraphIndex(graph)
    for tensor in graph.initializer:
        if tensor.data_type == bfloat16:
            tensor.CopyFrom(_wide(tensor))
    for value in [*graph.input, *graph.output]:
        if value.type.tensor_type.elem_type == bfloat16:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    nodes: list[onnx.NodeProto] = []
    given: dict[str, str] = {}
    for name in sorted(index.inputs & halves):
        given[name] = index.new_name(f"{name}.rounded")
        nodes += _round(name, given[name])
    for node in index.nodes:
        node.input[:] = [given.get(name, name) for name in node.input]
        for item in node.attribute:
            if item.name == "to" and item.i == bfloat16:
                item.i = onnx.TensorProto.FLOAT
            elif item.HasField("t") and item.t.data_type == bfloat16:
                item.t.CopyFrom(_wide(item.t))
        rounded = []
        for slot, name in enumerate(node.output):
            if name in halves and node.op_type not in _PICKING:
                node.output[slot] = index.new_name(f"{name}.unrounded")
                rounded += _round(node.output[slot], name)
        nodes += [node, *rounded]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    return widened


def _holds_bfloat16(model: onnx.ModelProto) -> bool:
    import onnx

    bfloat16 = onnx.TensorProto.BFLOAT16
    graph = model.graph
    return (
        any(tensor.data_type == bfloat16 for tensor in graph.initializer)
        or any(value.type.tensor_type.elem_type == bfloat16 for value in graph.input)
        or any(item.name == "to" and item.i == bfloat16 for node in graph.node for item in node.attribute)
    )


def _wide(tensor: onnx.TensorProto) -> onnx.TensorProto:
    from onnx import numpy_helper

    raw = tensor.raw_data if tensor.HasField("raw_data") else np.asarray(tensor.int32_data, "<u2").tobytes()
    bits = np.frombuffer(raw, "<u2").astype(np.uint32) << 16
    return numpy_helper.from_array(bits.view(np.float32).reshape(tuple(tensor.dims)), tensor.name)


def _round(source: str, made: str) -> list[onnx.NodeProto]:
    import onnx

    narrow = f"{made}.bfloat16"
    return [
        onnx.helper.make_node("Cast", [source], [narrow], name=narrow, to=onnx.TensorProto.BFLOAT16),
        onnx.helper.make_node("Cast", [narrow], [made], name=f"{narrow}.back", to=onnx.TensorProto.FLOAT),
    ]
