"""Compute once what depends on constants alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trtforge.errors import ModelError
from trtforge.graph.index import GraphIndex, attribute, delete_nodes, label
from trtforge.graph.tensor_types import ValueType, infer_types

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

# Deterministic operators of the default domain. Quantizers stay: folding one would undo the quantization.
# fmt: off
_FOLDABLE = frozenset({
    "Abs", "Add", "And", "Cast", "Ceil", "Concat", "Constant", "ConstantOfShape", "Div", "Equal", "Exp",
    "Expand", "Flatten", "Floor", "Gather", "Greater", "Identity", "Less", "Log", "MatMul", "Max", "Min",
    "Mul", "Neg", "Not", "Or", "Pad", "Pow", "Range", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "Reshape", "Round", "Shape", "Sin", "Cos", "Slice", "Split", "Sqrt",
    "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze", "Where",
})
# fmt: on
_GROWING = frozenset({"ConstantOfShape", "Expand", "Pad", "Range", "Tile"})
_GROWN_ELEMENTS = 1 << 18


def fold_constants(model: onnx.ModelProto) -> int:
    """Replace nodes that read only constants by the constants they make.

    Matches ``Constant``, arithmetic, casts and changes of layout over initializers, and ``Shape`` of a tensor
    whose every axis is fixed. Refuses quantizers, random and control-flow operators, operators of other
    domains, nodes that make a graph output, dtypes NumPy lacks, pads that cut, and growth: an operator such
    as ``Expand`` is left alone where it would make more than 2**18 elements, or an unknown number of them.

    Returns
    -------
    count : number of nodes folded.

    Raises
    ------
    ModelError : a constant cannot be computed from its inputs.
    """
    from onnx import numpy_helper

    graph = model.graph
    index = GraphIndex(graph)
    types = infer_types(model)
    known: dict[str, NDArray[np.generic]] = {}
    values: list[NDArray[np.generic]]
    folded = []
    for position, node in enumerate(index.nodes):
        if node.domain or node.op_type not in _FOLDABLE or any(name in index.outputs for name in node.output):
            continue
        fixed = _fixed_shape(node, types)
        if fixed is not None:
            values = [fixed]
        elif all(not name or name in known or name in index.initializers for name in node.input):
            inputs = {name: _value(name, known, index) for name in node.input if name}
            if not _is_foldable(node, inputs, types):
                continue
            values = _evaluate(node, inputs, model)
        else:
            continue
        known.update(zip(node.output, values, strict=True))
        folded.append(position)
    used = {name for p, node in enumerate(index.nodes) if p not in set(folded) for name in node.input}
    graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(value) if value.ndim else value, name)
        for name, value in known.items()
        if name in used or name in index.captured
    )
    delete_nodes(graph, folded)
    return len(folded)


def _value(name: str, known: dict[str, NDArray[np.generic]], index: GraphIndex) -> NDArray[np.generic]:
    value = known.get(name)
    if value is None:
        value = index.constant(name)
    assert value is not None  # noqa: S101 - the caller saw that it is known or an initializer
    return value


def _is_foldable(
    node: onnx.NodeProto, inputs: dict[str, NDArray[np.generic]], types: dict[str, ValueType]
) -> bool:
    if any(value.dtype.kind not in "biuf" for value in inputs.values()):
        return False
    # ONNX's evaluator cannot cut by a negative pad.
    if node.op_type == "Pad" and np.min(_pads(node, inputs), initial=0) < 0:
        return False
    made = types.get(node.output[0])
    if node.op_type in _GROWING:
        size = made.num_elements if made else None
        return size is not None and size <= _GROWN_ELEMENTS
    return made is None or made.elem_type == 0 or _numpy_kind(made.elem_type) in "biuf"


def _pads(node: onnx.NodeProto, inputs: dict[str, NDArray[np.generic]]) -> NDArray[np.int64]:
    return np.asarray(inputs[node.input[1]] if len(node.input) > 1 else attribute(node, "pads", ()), np.int64)


def _numpy_kind(elem_type: int) -> str:
    import onnx

    return onnx.helper.tensor_dtype_to_np_dtype(elem_type).kind


def _fixed_shape(node: onnx.NodeProto, types: dict[str, ValueType]) -> NDArray[np.int64] | None:
    read = types.get(node.input[0]) if node.op_type == "Shape" else None
    if read is None or read.shape is None or read.num_elements is None:
        return None
    begin, end = attribute(node, "start", 0), attribute(node, "end")
    return np.array(read.shape[begin:end], dtype=np.int64)


def _evaluate(
    node: onnx.NodeProto, inputs: dict[str, NDArray[np.generic]], model: onnx.ModelProto
) -> list[NDArray[np.generic]]:
    import onnx
    from onnx.reference import ReferenceEvaluator

    helper = onnx.helper
    graph = helper.make_graph(
        [node],
        "constant",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in inputs.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in node.output],
    )
    alone = helper.make_model(
        graph, opset_imports=list(model.opset_import), ir_version=max(model.ir_version, 4)
    )
    try:
        return [np.asarray(value) for value in ReferenceEvaluator(alone).run(None, inputs)]
    except Exception as error:  # the evaluator runs NumPy, which raises many kinds
        raise ModelError(f"constant {label(node)!r} ({node.op_type}) cannot be computed: {error}") from error
