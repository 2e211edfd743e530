"""Compute products of FP16 tensors in FP16, where a network casts them to FP32 first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.index import GraphIndex, attribute
from trtforge.graph.tensor_types import infer_types
from trtforge.model import copy_model

if TYPE_CHECKING:
    import onnx


def products_in_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Cast what a product gives in place of the FP16 tensor that it reads.

    A library that is allowed FP16 may still run each cast as it is written: TensorRT 8.6 then writes all of a
    decoder's keys and values anew in FP32, at every symbol.

    Matches ``MatMul`` of a tensor that ``Cast`` made FP32 of FP16, and of another one that is no constant;
    both are then multiplied in FP16, and the product is cast to FP32. ``Shape`` of such a tensor reads the
    FP16 one. Refuses constants, which are weights and for the library to convert, and nested graphs.

    Parameters
    ----------
    model : the network; not changed.

    Returns
    -------
    A network with the same inputs and outputs; the same object where there is nothing to do.
    """
    halves = _halves(model)
    index = GraphIndex(model.graph)
    products = {
        node.output[0]
        for node in model.graph.node
        if node.op_type == "MatMul"
        and any(name in halves for name in node.input)
        and not any(name in index.initializers for name in node.input)
    }
    if not products:
        return model
    made = copy_model(model)
    _rewrite(made.graph, halves, products)
    return made


def _halves(model: onnx.ModelProto) -> dict[str, str]:
    """Map tensors that a cast made FP32 of FP16 to what it read."""
    import onnx

    types = infer_types(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type == "Cast" and attribute(node, "to") == onnx.TensorProto.FLOAT:
            source = types.get(node.input[0])
            is_half = source is not None and source.elem_type == onnx.TensorProto.FLOAT16
            if is_half and node.input[0] not in constants:
                found[node.output[0]] = node.input[0]
    return found


def _rewrite(graph: onnx.GraphProto, halves: dict[str, str], products: set[str]) -> None:
    from onnx import TensorProto, helper

    index = GraphIndex(graph)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes.append(node)
        if node.op_type == "Shape" and node.input[0] in halves:
            node.input[0] = halves[node.input[0]]
        if node.op_type != "MatMul" or node.output[0] not in products:
            continue
        for slot, name in enumerate(node.input):
            if name not in halves:
                halves[name] = index.new_name(f"{name}_half")
                nodes.insert(-1, helper.make_node("Cast", [name], [halves[name]], to=TensorProto.FLOAT16))
            node.input[slot] = halves[name]
        result, node.output[0] = node.output[0], index.new_name(f"{node.output[0]}_half")
        nodes.append(helper.make_node("Cast", [node.output[0]], [result], to=TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    _remove_unread(graph, set(halves))


def _remove_unread(graph: onnx.GraphProto, names: set[str]) -> None:
    """Remove the casts of these names that nothing reads any more."""
    index = GraphIndex(graph)
    kept = [
        node
        for node in graph.node
        if node.op_type != "Cast"
        or node.output[0] not in names
        or index.readers(node.output[0])
        or index.is_exposed(node.output[0])
    ]
    del graph.node[:]
    graph.node.extend(kept)
