"""Write FP16 or BF16 in FP32 with rounding, for a library that has no kernels that compute in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trtforge.graph.half_types import BFLOAT16, FLOAT16, HalfType
from trtforge.graph.index import GraphIndex
from trtforge.graph.rules.reshape import RESHAPES
from trtforge.graph.tensor_types import drop_inferable_types, infer_types
from trtforge.model import copy_model

if TYPE_CHECKING:
    import onnx

# What these give is among what they are given, so it is rounded already.
_PICKING = RESHAPES | {"Concat", "Expand", "Gather", "MaxPool", "Relu", "Slice", "Split", "Tile"}


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
    return _widen(model, BFLOAT16)


def widen_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write a network's FP16 in FP32, rounding to FP16 wherever it had a result in FP16.

    ONNX Runtime computes most FP16 on the CPU in FP32, and leaves out the rounding between such nodes. This
    puts it back, so that the network shows what FP16 costs, overflow too.

    Parameters
    ----------
    model : the network, not changed; without FP16 quantizers.

    Returns
    -------
    widened : as for `widen_bfloat16`.

    Raises
    ------
    ModelError : the graph's types contradict each other.
    """
    return _widen(model, FLOAT16)


def _widen(model: onnx.ModelProto, half: HalfType) -> onnx.ModelProto:
    import onnx

    elem_type = half.elem_type
    if not _holds(model, elem_type):
        return model
    halves = {name for name, read in infer_types(model).items() if read.elem_type == elem_type}
    widened = copy_model(model)
    graph = widened.graph
    drop_inferable_types(widened)
    index = GraphIndex(graph)
    for tensor in graph.initializer:
        if tensor.data_type == elem_type:
            tensor.CopyFrom(_wide(tensor))
    for value in [*graph.input, *graph.output]:
        if value.type.tensor_type.elem_type == elem_type:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    nodes: list[onnx.NodeProto] = []
    given: dict[str, str] = {}
    for name in sorted(index.inputs & halves):
        given[name] = index.new_name(f"{name}.rounded")
        nodes += _round(name, given[name], half)
    for node in index.nodes:
        node.input[:] = [given.get(name, name) for name in node.input]
        for item in node.attribute:
            if item.name == "to" and item.i == elem_type:
                item.i = onnx.TensorProto.FLOAT
            elif item.HasField("t") and item.t.data_type == elem_type:
                item.t.CopyFrom(_wide(item.t))
        rounded = []
        for slot, name in enumerate(node.output):
            if name in halves and node.op_type not in _PICKING:
                node.output[slot] = index.new_name(f"{name}.unrounded")
                rounded += _round(node.output[slot], name, half)
        nodes += [node, *rounded]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    return widened


def _holds(model: onnx.ModelProto, elem_type: int) -> bool:
    graph = model.graph
    return (
        any(tensor.data_type == elem_type for tensor in graph.initializer)
        or any(value.type.tensor_type.elem_type == elem_type for value in graph.input)
        or any(item.name == "to" and item.i == elem_type for node in graph.node for item in node.attribute)
    )


def _wide(tensor: onnx.TensorProto) -> onnx.TensorProto:
    import onnx
    from onnx import numpy_helper

    if tensor.data_type == onnx.TensorProto.FLOAT16:
        return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
    raw = tensor.raw_data if tensor.HasField("raw_data") else np.asarray(tensor.int32_data, "<u2").tobytes()
    bits = np.frombuffer(raw, "<u2").astype(np.uint32) << 16
    return numpy_helper.from_array(bits.view(np.float32).reshape(tuple(tensor.dims)), tensor.name)


def _round(source: str, made: str, half: HalfType) -> list[onnx.NodeProto]:
    import onnx

    narrow = f"{made}.{half.name}"
    return [
        onnx.helper.make_node("Cast", [source], [narrow], name=narrow, to=half.elem_type),
        onnx.helper.make_node("Cast", [narrow], [made], name=f"{narrow}.back", to=onnx.TensorProto.FLOAT),
    ]
