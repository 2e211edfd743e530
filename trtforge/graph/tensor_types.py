"""Infer the dtype and shape of every tensor of a graph, without copying its weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from trtforge.errors import ModelError
from trtforge.external_data import tensor_bytes
from trtforge.model import all_graphs, inference_opsets

if TYPE_CHECKING:
    import onnx

# A constant up to this size keeps its value during inference: it may be a shape that others follow from.
_SMALL_BYTES = 1024
# ONNX infers nothing of them; their output has the type and shape of their first input.
_NOT_INFERRED = frozenset({"GroupNormalization"})

Axis: TypeAlias = "int | str | None"


@dataclass(frozen=True)
class ValueType:
    """What is known of a tensor before it is computed.

    Parameters
    ----------
    elem_type : its ``onnx.TensorProto.DataType``; 0 where unknown.
    shape : an int for a fixed axis, a name for a dynamic one, None for an unknown one; None where even the
        rank is unknown.
    """

    elem_type: int
    shape: tuple[Axis, ...] | None

    @property
    def dtype(self) -> str:
        """Name of its type as NumPy has it, such as ``float32``; ``unknown`` where it is."""
        import onnx

        if not self.elem_type:
            return "unknown"
        name = str(onnx.TensorProto.DataType.Name(self.elem_type)).lower()
        return {"float": "float32", "double": "float64"}.get(name, name)

    @property
    def num_elements(self) -> int | None:
        """Number of elements, or None where an axis is not fixed."""
        if self.shape is None:
            return None
        sizes = [axis for axis in self.shape if isinstance(axis, int)]
        return math.prod(sizes) if len(sizes) == len(self.shape) else None


def infer_types(model: onnx.ModelProto) -> dict[str, ValueType]:
    """Infer the type of every tensor that ONNX's own inference can tell.

    Weights are replaced by their type and shape first, so that a network of any size can be inferred.

    Raises
    ------
    ModelError : the graph's types contradict each other.
    """
    import onnx

    skeleton = _without_weights(model)
    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton, data_prop=True)
    except Exception as error:  # the C++ side raises several unexported kinds
        raise ModelError(f"the network's tensor types cannot be inferred: {error}") from error
    graph = inferred.graph
    types = {value.name: _value_type(value) for value in [*graph.value_info, *graph.input, *graph.output]}
    for tensor in model.graph.initializer:
        types[tensor.name] = ValueType(tensor.data_type, tuple(tensor.dims))
    return types


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnx

    source = model.graph
    large = [tensor for tensor in source.initializer if tensor_bytes(tensor) > _SMALL_BYTES]
    stand_ins = {tensor.name for tensor in large}
    graph = onnx.GraphProto(
        name=source.name,
        node=source.node,
        input=[value for value in source.input if value.name not in stand_ins],
        output=source.output,
        value_info=source.value_info,
        initializer=[tensor for tensor in source.initializer if tensor.name not in stand_ins],
    )
    graph.input.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in large
    )
    for node in (node for body in all_graphs(graph) for node in body.node):
        if node.op_type in _NOT_INFERRED and not node.domain:
            node.CopyFrom(onnx.helper.make_node("Identity", node.input[:1], node.output))
    return onnx.ModelProto(
        ir_version=max(model.ir_version, 4),
        opset_import=inference_opsets(model),
        functions=model.functions,
        graph=graph,
    )


def _value_type(value: onnx.ValueInfoProto) -> ValueType:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return ValueType(kind.elem_type, None)
    shape = tuple(
        int(axis.dim_value) if axis.HasField("dim_value") else axis.dim_param or None
        for axis in kind.shape.dim
    )
    return ValueType(kind.elem_type, shape)


def drop_inferable_types(model: onnx.ModelProto) -> None:
    """Remove the stored types of inner tensors, which a rewrite may make untrue.

    Those of operators outside ONNX's own domain stay, because nothing else tells them.
    """
    graph = model.graph
    foreign = {name for node in graph.node if node.domain not in ("", "ai.onnx") for name in node.output}
    stay = [value for value in graph.value_info if value.name in foreign]
    del graph.value_info[:]
    graph.value_info.extend(stay)
