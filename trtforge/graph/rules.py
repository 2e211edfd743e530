"""Say for one layer whether INT8 pays, and along which axis its weight is scaled."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from trtforge.graph.index import GraphIndex, attribute
from trtforge.graph.tensor_types import ValueType

if TYPE_CHECKING:
    import onnx

KeepFloat: TypeAlias = Literal["none", "first", "last", "first_last"]

# Below this a tile of the INT8 matrix units is mostly padding.
MIN_GEMM_SIZE = 16


@dataclass(frozen=True)
class Layer:
    """A layer that may be quantized: its activation, its weight, and the weight's channel axis."""

    activation: str
    weight: str
    axis: int | None


@dataclass(frozen=True)
class Refusal:
    """Why a layer stays in floating point."""

    reason: str


Rule: TypeAlias = "Callable[[onnx.NodeProto, GraphIndex, dict[str, ValueType]], Layer | Refusal]"


def judge(node: onnx.NodeProto, index: GraphIndex, types: dict[str, ValueType]) -> Layer | Refusal | None:
    """Apply the rule for a node's operator; None where no rule is concerned with it."""
    rule = RULES.get(node.op_type)
    if rule is None or node.domain:
        return None
    if not _is_float32(types.get(node.input[0])):
        return Refusal("its input is not float32")
    return rule(node, index, types)


def _conv(node: onnx.NodeProto, index: GraphIndex, types: dict[str, ValueType]) -> Layer | Refusal:
    if node.input[1] not in index.initializers:
        return Refusal("its weight is computed")
    if node.input[0] in index.initializers:
        return Refusal("its input is a constant")
    if node.op_type == "Conv":
        return Layer(node.input[0], node.input[1], 0)
    # Axis 1 of a grouped transposed convolution is shared by the groups: it is no axis of output channels.
    return Layer(node.input[0], node.input[1], 1 if attribute(node, "group", 1) == 1 else None)


def _gemm(node: onnx.NodeProto, index: GraphIndex, types: dict[str, ValueType]) -> Layer | Refusal:
    if node.input[1] not in index.initializers or node.input[0] in index.initializers:
        return Refusal("it does not multiply an activation by a constant")
    if attribute(node, "alpha", 1.0) != 1.0:
        return Refusal("alpha is not 1: the factor would stand between the product and the next quantizer")
    if attribute(node, "transA", 0):
        return Refusal("its activation is transposed")
    transposed = bool(attribute(node, "transB", 0))
    rows, columns = index.initializers[node.input[1]].dims
    depth, width = (columns, rows) if transposed else (rows, columns)
    return _by_size(Layer(node.input[0], node.input[1], 0 if transposed else 1), depth, width, types)


def _matmul(node: onnx.NodeProto, index: GraphIndex, types: dict[str, ValueType]) -> Layer | Refusal:
    constants = [name in index.initializers for name in node.input]
    if not any(constants):
        return Refusal("it multiplies two activations, as attention does")
    if constants != [False, True]:
        return Refusal("its constant is not the right-hand side")
    dims = index.initializers[node.input[1]].dims
    if len(dims) != 2:
        return Refusal(f"its weight has {len(dims)} axes, not 2")
    return _by_size(Layer(node.input[0], node.input[1], 1), dims[0], dims[1], types)


def _by_size(layer: Layer, depth: int, width: int, types: dict[str, ValueType]) -> Layer | Refusal:
    if depth < MIN_GEMM_SIZE or width < MIN_GEMM_SIZE:
        return Refusal(
            f"the product is {depth} deep and {width} wide, and either below {MIN_GEMM_SIZE} is slow"
        )
    read = types.get(layer.activation)
    rows = read.shape[:-1] if read is not None and read.shape is not None else (None,)
    fixed = [axis for axis in rows if isinstance(axis, int)]
    if len(fixed) == len(rows) and math.prod(fixed) == 1:
        return Refusal("the product has one row")
    return layer


def _is_float32(read: ValueType | None) -> bool:
    import onnx

    return read is not None and read.elem_type == onnx.TensorProto.FLOAT


RULES: dict[str, Rule] = {"Conv": _conv, "ConvTranspose": _conv, "Gemm": _gemm, "MatMul": _matmul}
