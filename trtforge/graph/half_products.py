"""Compute products of FP16 inputs in FP16, where a network casts these to FP32 first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.index import GraphIndex, attribute
from trtforge.graph.rewrites import remove_unused
from trtforge.model import copy_model

if TYPE_CHECKING:
    import onnx


def products_in_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Cast what a product gives in place of the FP16 input that it reads.

    A library that is allowed FP16 may still run each cast as it is written, and write all of a decoder's keys
    and values anew in FP32, at every symbol. TensorRT 8.6 did so without the cast too, which ``direct_io``
    forbids.

    Matches ``MatMul`` of an input of the network that ``Cast`` made FP32 of FP16, and of another tensor that
    is no constant; both are then multiplied in FP16, and the product is cast to FP32. ``Shape`` of such a
    tensor reads the FP16 one. Refuses constants, which are weights and for the library to convert; what is
    cast inside a network, which was typed so on purpose, as where FP16 overflows; and nested graphs.

    Parameters
    ----------
    model : the network; not changed.

    Returns
    -------
    A network with the same inputs and outputs; the same object where there is nothing to do.
    """
    halves, index = _halves(model.graph), GraphIndex(model.graph)
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
    remove_unused(made)
    return made


def _halves(graph: onnx.GraphProto) -> dict[str, str]:
    """Map tensors that a cast made FP32 of an FP16 input to that input."""
    from onnx import TensorProto

    constants = {tensor.name for tensor in graph.initializer}
    inputs = {
        value.name
        for value in graph.input
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16 and value.name not in constants
    }
    return {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Cast" and node.input[0] in inputs and attribute(node, "to") == TensorProto.FLOAT
    }


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
