"""Keep constants where constants are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.index import delete_nodes

if TYPE_CHECKING:
    import onnx


def hoist_constants(model: onnx.ModelProto) -> int:
    """Replace ``Constant`` nodes by initializers of the same name.

    Matches each at the top level that holds a tensor or numbers, of whatever dtype. Refuses those that make a
    graph output, and sparse ones and texts, which no arithmetic reads.

    Returns
    -------
    count : number of nodes replaced.
    """
    graph = model.graph
    outputs = {value.name for value in graph.output}
    hoisted = []
    for position, node in enumerate(graph.node):
        if node.op_type != "Constant" or node.domain or node.output[0] in outputs:
            continue
        tensor = _stored(node)
        if tensor is not None:
            graph.initializer.append(tensor)
            graph.initializer[-1].name = node.output[0]
            hoisted.append(position)
    delete_nodes(graph, hoisted)
    return len(hoisted)


def _stored(node: onnx.NodeProto) -> onnx.TensorProto | None:
    import onnx

    (item,) = node.attribute
    if item.name == "value":
        tensor: onnx.TensorProto = item.t
        return tensor
    kinds = {"value_float": "FLOAT", "value_floats": "FLOAT", "value_int": "INT64", "value_ints": "INT64"}
    if item.name not in kinds:
        return None
    value = onnx.helper.get_attribute_value(item)
    values, shape = (list(value), [len(value)]) if item.name.endswith("s") else ([value], [])
    made: onnx.TensorProto = onnx.helper.make_tensor(
        "", onnx.TensorProto.DataType.Value(kinds[item.name]), shape, values
    )
    return made
