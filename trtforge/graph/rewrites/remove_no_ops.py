"""Remove nodes that return their input unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from trtforge.graph.index import GraphIndex, attribute, delete_nodes
from trtforge.graph.tensor_types import ValueType, infer_types

if TYPE_CHECKING:
    import onnx

Types = dict[str, ValueType]
Rule: TypeAlias = "Callable[[onnx.NodeProto, GraphIndex, Types], int | None]"


def remove_no_ops(model: onnx.ModelProto) -> int:
    """Remove nodes whose output equals one of their inputs in values, dtype and shape.

    Matches ``Identity``; ``Dropout`` in inference; ``Mul`` and ``Div`` by one, ``Add`` and ``Sub`` of zero,
    ``Pow`` of one, where the constant does not broaden the shape; ``Cast`` to the dtype at hand; ``Pad`` by
    nothing; ``Transpose`` that keeps the order; ``Reshape``, ``Expand`` and ``Flatten`` to the shape at hand;
    ``Concat``, ``Sum``, ``Max``, ``Min`` and ``Mean`` of a single tensor. A single stray one of these between
    a convolution and its quantizer prevents their fusion.

    Refuses a node whose output is both exposed (a graph output, or read by a nested graph) and not
    renameable: its input being exposed too, a graph input or a constant. Where the output is a graph output,
    the input's producer takes over the output's name.

    Returns
    -------
    count : number of nodes removed.
    """
    graph = model.graph
    types = infer_types(model)
    count = 0
    while True:
        index = GraphIndex(graph)
        removed = _remove_pass(index, types)
        delete_nodes(graph, removed)
        count += len(removed)
        if not removed:
            return count


def _remove_pass(index: GraphIndex, types: Types) -> list[int]:
    removed: list[int] = []
    renamed: dict[str, str] = {}
    for position, node in enumerate(index.nodes):
        source = passed_through(node, index, types)
        if source is None or not _types_agree(types, source, node.output[0]):
            continue
        made = node.output[0]
        if not index.is_exposed(made):
            renamed[made] = renamed.get(source, source)
            removed.append(position)
        elif _can_take_name(source, made, index) and source not in renamed and not removed:
            # Wiring has changed around a graph output: the next pass starts from a new index.
            maker = index.nodes[index.producers[source]]
            maker.output[list(maker.output).index(source)] = made
            renamed[source] = made
            removed.append(position)
            break
    for node in index.nodes:
        for slot, name in enumerate(node.input):
            if name in renamed:
                node.input[slot] = renamed[name]
    return removed


def _types_agree(types: Types, source: str, made: str) -> bool:
    """Say whether nothing known speaks against two tensors having the same dtype and rank."""
    a, b = types.get(source), types.get(made)
    if a is None or b is None:
        return True
    if a.elem_type and b.elem_type and a.elem_type != b.elem_type:
        return False
    return a.shape is None or b.shape is None or len(a.shape) == len(b.shape)


def _can_take_name(source: str, made: str, index: GraphIndex) -> bool:
    return made not in index.captured and source in index.producers and not index.is_exposed(source)


def passed_through(node: onnx.NodeProto, index: GraphIndex, types: Types) -> str | None:
    """Return the input that the node hands on unchanged, or None."""
    if node.domain or not node.input or not node.input[0] or any(node.output[1:]):
        return None
    rule = _RULES.get(node.op_type)
    slot = rule(node, index, types) if rule else None
    return None if slot is None else node.input[slot]


# The rules: each says which input its node returns unchanged, or None.


def _identity(node: onnx.NodeProto, index: GraphIndex, types: Types) -> int | None:
    return 0


def _single(node: onnx.NodeProto, index: GraphIndex, types: Types) -> int | None:
    return 0 if len(node.input) == 1 else None


def _dropout(node: onnx.NodeProto, index: GraphIndex, types: Types) -> int | None:
    if len(node.input) < 3 or not node.input[2]:
        return 0
    training = index.constant(node.input[2])
    return 0 if training is not None and not training.any() else None


def _neutral(value: float, *, commutes: bool) -> Rule:
    def rule(node: onnx.NodeProto, index: GraphIndex, types: Types) -> int | None:
        for slot in (1, 0) if commutes else (1,):
            constant = index.constant(node.input[slot])
            if constant is None or constant.dtype.kind not in "iuf" or not np.all(constant == value):
                continue
            if _keeps_shape(constant.shape, types.get(node.input[1 - slot])):
                return 1 - slot
        return None

    return rule


def _keeps_shape(constant: tuple[int, ...], other: ValueType | None) -> bool:
    if not constant:
        return True
    if other is None or other.shape is None or len(constant) > len(other.shape):
        return False
    tail = other.shape[len(other.shape) - len(constant) :]
    return all(size in (1, axis) for size, axis in zip(constant, tail, strict=True))


def _cast(node: onnx.NodeProto, index: GraphIndex, types: Types) -> int | None:
    read = types.get(node.input[0])
    return 0 if read is not None and read.elem_type == attribute(node, "to") else None


def _pad(node: onnx.NodeProto, index: GraphIndex, types: Types) -> int | None:
    pads = index.constant(node.input[1]) if len(node.input) > 1 else attribute(node, "pads")
    return 0 if pads is not None and not np.any(np.asarray(pads)) else None


def _transpose(node: onnx.NodeProto, index: GraphIndex, types: Types) -> int | None:
    order = attribute(node, "perm")
    return 0 if isinstance(order, list) and order == sorted(order) else None


def _same_shape(node: onnx.NodeProto, index: GraphIndex, types: Types) -> int | None:
    read, made = types.get(node.input[0]), types.get(node.output[0])
    if read is None or read.shape is None:
        return None
    if made is not None and None not in read.shape and read.shape == made.shape:
        return 0
    return 0 if node.op_type == "Reshape" and _copies_axes(node, index, len(read.shape)) else None


def _copies_axes(node: onnx.NodeProto, index: GraphIndex, rank: int) -> bool:
    target = index.constant(node.input[1]) if len(node.input) > 1 else None
    if target is None or attribute(node, "allowzero", 0) or target.shape != (rank,):
        return False
    inferred = int(np.count_nonzero(target == -1))
    return inferred <= 1 and int(np.count_nonzero(target == 0)) + inferred == rank


_RULES: dict[str, Rule] = {
    "Add": _neutral(0.0, commutes=True),
    "Cast": _cast,
    "Concat": _single,
    "Div": _neutral(1.0, commutes=False),
    "Dropout": _dropout,
    "Expand": _same_shape,
    "Flatten": _same_shape,
    "Identity": _identity,
    "Max": _single,
    "Mean": _single,
    "Min": _single,
    "Mul": _neutral(1.0, commutes=True),
    "Pad": _pad,
    "Pow": _neutral(1.0, commutes=False),
    "Reshape": _same_shape,
    "Sub": _neutral(0.0, commutes=False),
    "Sum": _single,
    "Transpose": _transpose,
}
