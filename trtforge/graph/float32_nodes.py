"""Decide which nodes must go on computing in FP32 when the rest of a network becomes FP16."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from trtforge.graph.index import QUANTIZERS, GraphIndex
from trtforge.graph.opset import opset_of
from trtforge.graph.tensor_types import ValueType

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

Types = dict[str, ValueType]

# Sums over many elements, squares, exponentials and what divides by a small epsilon: FP16 overflows at 65504
# and loses everything below 6e-8.
# fmt: off
_SENSITIVE = frozenset({
    "BatchNormalization", "CumSum", "DFT", "Det", "Exp", "GlobalAveragePool", "GlobalLpPool",
    "GroupNormalization", "InstanceNormalization", "LRN", "LayerNormalization", "Log", "LogSoftmax",
    "LpNormalization", "MeanVarianceNormalization", "MelWeightMatrix", "Pow", "RMSNormalization",
    "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMean", "ReduceProd",
    "ReduceSum", "ReduceSumSquare", "STFT", "Softmax", "Sqrt",
})
# fmt: on
# Their dtype is an attribute of their own.
# fmt: off
_SELF_TYPED = frozenset({
    "Bernoulli", "BlackmanWindow", "Constant", "ConstantOfShape", "EyeLike", "HammingWindow", "HannWindow",
    "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
})
# fmt: on
# fmt: off
_ELEMENTWISE = frozenset({
    "Abs", "Add", "Ceil", "Clip", "Cos", "Div", "Expand", "Floor", "Max", "Min", "Mod", "Mul", "Neg",
    "Reshape", "Round", "Sin", "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze", "Where",
})
# fmt: on


def float32_nodes(model: onnx.ModelProto, index: GraphIndex, types: Types, *, asked: set[str]) -> set[int]:
    """Return the positions of the nodes that must compute in FP32.

    These are: what the caller asked for; softmax, normalisation, reductions, powers and the like; operators
    that take no FP16, are of another domain or hold nested graphs, and the makers of what nested graphs read;
    nodes with a constant that FP16 cannot hold (above 65504, or all of it lost to zero); arithmetic on
    counts, which FP16 holds exactly only up to 2048; and elementwise nodes with only such nodes around them.

    Parameters
    ----------
    asked : first outputs of the nodes that the caller wants in FP32.
    """
    opset = opset_of(model)
    counts = _count_tensors(index, types)
    kept = set()
    for position, node in enumerate(index.nodes):
        outputs = [name for name in node.output if name]
        if (
            any(name in asked or name in index.captured or name in counts for name in outputs)
            or node.op_type in _SENSITIVE | _SELF_TYPED
            or _turns_into_integers(node, counts, types)
            or not takes_float16(node, opset, types)
            or _loses_constant(node, index, types)
        ):
            kept.add(position)
    while surrounded := set(_surrounded(index, types, kept)):
        kept |= surrounded
    return kept


def takes_float16(node: onnx.NodeProto, opset: int, types: Types) -> bool:
    """Say whether an operator is defined for an FP16 main input and FP16 outputs."""
    import onnx

    nested = any(item.HasField("g") or len(item.graphs) for item in node.attribute)
    if node.domain or nested or not onnx.defs.has(node.op_type, opset, ""):
        return False
    if any(item.name == "output_dtype" for item in node.attribute):
        return False
    schema = onnx.defs.get_schema(node.op_type, opset, "")
    for slot, name in enumerate(node.output):
        formal = schema.outputs[min(slot, len(schema.outputs) - 1)]
        if is_float32(types.get(name)) and "tensor(float16)" not in formal.types:
            return False
    return not node.input or not is_float32(types.get(node.input[0])) or slot_takes_float16(node, 0, opset)


def slot_takes_float16(node: onnx.NodeProto, slot: int, opset: int) -> bool:
    """Say whether one input of an operator may be FP16; the scales of ``Resize`` may not."""
    import onnx

    formals = onnx.defs.get_schema(node.op_type, opset, "").inputs
    return "tensor(float16)" in formals[min(slot, len(formals) - 1)].types


def is_float32(read: ValueType | None) -> bool:
    """Say whether a tensor is known to be FP32."""
    import onnx

    return read is not None and read.elem_type == onnx.TensorProto.FLOAT


def _loses_constant(node: onnx.NodeProto, index: GraphIndex, types: Types) -> bool:
    return any(
        _is_lost(value, each=node.op_type in QUANTIZERS)
        for value in (index.constant(name) for name in node.input if is_float32(types.get(name)))
        if value is not None
    )


def _is_lost(value: NDArray[np.generic], *, each: bool) -> bool:
    """Say whether FP16 turns a number into infinity, or all (``each``: any) that is not zero into zero."""
    wide = np.asarray(value, dtype=np.float32)
    with np.errstate(over="ignore", under="ignore"):
        half = wide.astype(np.float16)
    if (np.isinf(half) & np.isfinite(wide)).any():
        return True
    lost = (half == 0)[wide != 0]
    return bool(lost.size and (lost.any() if each else lost.all()))


def _count_tensors(index: GraphIndex, types: Types) -> set[str]:
    """Return the float tensors that are made of integers alone: lengths, positions, sample values."""
    counts: set[str] = set()
    for node in index.nodes:
        if node.op_type == "Cast":
            read = types.get(node.input[0])
            starts = (
                is_float32(types.get(node.output[0])) and read is not None and _is_integer(read.elem_type)
            )
        else:
            starts = node.op_type == "Range" and is_float32(types.get(node.output[0]))
        variables = list(_variables(node, index, types))
        follows = node.op_type in _ELEMENTWISE and bool(variables) and counts.issuperset(variables)
        if starts or follows:
            counts.update(node.output)
    return counts


def _turns_into_integers(node: onnx.NodeProto, counts: set[str], types: Types) -> bool:
    """Say whether a node compares or rounds counts, which must be exact until then."""
    return not counts.isdisjoint(node.input) and not any(is_float32(types.get(name)) for name in node.output)


def _is_integer(elem_type: int) -> bool:
    import onnx

    return elem_type != 0 and onnx.helper.tensor_dtype_to_np_dtype(elem_type).kind in "iu"


def _variables(node: onnx.NodeProto, index: GraphIndex, types: Types) -> Iterator[str]:
    """Yield the FP32 inputs of a node that are not constants."""
    return (name for name in node.input if is_float32(types.get(name)) and name not in index.initializers)


def _surrounded(index: GraphIndex, types: Types, kept: set[int]) -> Iterator[int]:
    for position, node in enumerate(index.nodes):
        if position in kept or node.op_type not in _ELEMENTWISE or node.output[0] in index.outputs:
            continue
        before = [index.producers.get(name) for name in _variables(node, index, types)]
        after = index.consumers.get(node.output[0], [])
        if before and after and all(maker in kept for maker in before) and kept.issuperset(after):
            yield position
