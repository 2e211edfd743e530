"""Find the arithmetic around sums, powers and roots that a 16-bit type spoils: normalisation spelled out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.index import GraphIndex
from trtforge.graph.tensor_types import ValueType

if TYPE_CHECKING:
    import onnx

# fmt: off
ELEMENTWISE = frozenset({
    "Abs", "Add", "Ceil", "Clip", "Cos", "Div", "Expand", "Floor", "Max", "Min", "Mod", "Mul", "Neg",
    "Reshape", "Round", "Sin", "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze", "Where",
})
# fmt: on
# What these give may be far larger, or smaller, than what they are given.
# fmt: off
_WIDENING = frozenset({
    "Exp", "Pow", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Sqrt",
})
# fmt: on


_CENTRES = {"ReduceMax": "the maximum", "ReduceMean": "a mean"}


def wide_tensors(index: GraphIndex, types: dict[str, ValueType]) -> dict[int, str]:
    """Return the positions of elementwise nodes that must not compute in 16 bits, each with the reason.

    Matched are: products of a tensor with itself, which overflow FP16 from 256 on; differences of a tensor
    and its own mean or maximum, as both may be large and near each other; and what reads a sum, power or
    root, directly or after arithmetic with constants, such as the epsilon of a normalisation and the division
    by its root.
    Refused is what reads a plain mean, whose size is that of the values.

    Parameters
    ----------
    index : the graph.
    types : the types of its tensors.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016, arXiv:1607.06450.
    NVIDIA, "TensorRT Developer Guide", section "Reduced Precision": overflow in layer normalisation.
    """
    import onnx

    floats = {name for name, read in types.items() if read.elem_type == onnx.TensorProto.FLOAT}
    wide: set[str] = set()
    found: dict[int, str] = {}
    for position, node in enumerate(index.nodes):
        variables = [name for name in node.input if name in floats and name not in index.initializers]
        if node.domain:
            continue
        of_wide = node.op_type == "ReduceMean" and node.input[0] in wide
        if node.op_type in _WIDENING or of_wide or _is_square(node):
            wide.update(node.output)
        if _is_square(node):
            found[position] = "it squares, which overflows from 256 on"
        elif (maker := _centre(node, index)) is not None:
            op_type = index.nodes[maker].op_type
            found[position] = f"it takes {_CENTRES[op_type]} off its own values"
            found.setdefault(maker, f"{op_type} is taken off its own values")
        elif node.op_type in ELEMENTWISE and (read := [name for name in variables if name in wide]):
            found[position] = f"it computes with a sum, power or root, {read[0]!r}"
            if len(read) == len(variables):
                wide.update(node.output)
    return found


def _is_square(node: onnx.NodeProto) -> bool:
    return node.op_type == "Mul" and node.input[0] == node.input[1]


def _centre(node: onnx.NodeProto, index: GraphIndex) -> int | None:
    """Return the node that makes the mean or the maximum which a node takes off the values it is of."""
    if node.op_type != "Sub":
        return None
    for name, other in zip(node.input, reversed(node.input), strict=True):
        position = index.producers.get(name)
        if position is None:
            continue
        maker = index.nodes[position]
        if maker.op_type in _CENTRES and maker.input[0] == other:
            return position
    return None
