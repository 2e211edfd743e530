"""Decide which nodes must go on computing in FP32 when the rest of a network becomes FP16 or BF16."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trtforge.graph.float16_range import MagnitudesByTensor, float16_fault
from trtforge.graph.half_types import BFLOAT16, FLOAT16, HalfType
from trtforge.graph.index import QUANTIZERS, GraphIndex
from trtforge.graph.infinities import infinite_tensors, overflowing_tensors
from trtforge.graph.opset import opset_of
from trtforge.graph.rules.reshape import RESHAPES
from trtforge.graph.tensor_types import ValueType, infer_types
from trtforge.graph.wide_tensors import ELEMENTWISE, wide_tensors
from trtforge.model import nested_graphs

if TYPE_CHECKING:
    import onnx

Types = dict[str, ValueType]

# Sums over many elements, squares, exponentials and what divides by a small epsilon: FP16 overflows at 65504
# and loses everything below 6e-8; BF16 has 8 bits of precision.
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
# What a sequence or an optional holds is typed where it is made, of which the graph's types tell nothing.
# fmt: off
_HOLDERS = frozenset({
    "ConcatFromSequence", "Optional", "OptionalGetElement", "SequenceAt", "SequenceConstruct",
    "SequenceEmpty", "SequenceErase", "SequenceInsert", "SplitToSequence",
})
# fmt: on
# They read the bits of their input, whose number a cast would change.
_BITWISE = frozenset({"BitCast"})
# TensorRT-RTX 1.7 refuses to read or build them in BF16.
_NOT_BUILT_IN_BFLOAT16 = frozenset({"ConvTranspose", "GRU", "HardSwish", "Mish"})


def float32_nodes(
    model: onnx.ModelProto,
    index: GraphIndex,
    types: Types,
    *,
    asked: set[str],
    half: HalfType = FLOAT16,
    magnitudes: MagnitudesByTensor | None = None,
) -> dict[int, str]:
    """Return the positions of the nodes that must compute in FP32, each with the reason.

    These are: what the caller asked for; softmax, normalisation, reductions, powers and the like, and
    arithmetic on what sums, powers and roots give; centring on a mean, and squares; operators that do not
    take the type, are of another domain, fill or read sequences, or hold nested graphs, and the makers of
    what nested graphs read;
    nodes with a constant that the type cannot hold, and readers of what such a constant is written into where
    it would become infinite; arithmetic on counts, which FP16 holds exactly only up to 2048, and arithmetic
    that integers are made of; makers and readers of tensors that were observed to overflow or vanish in FP16;
    dequantizers that only such nodes read; and elementwise nodes with only such nodes around them.

    Parameters
    ----------
    asked : first outputs of the nodes that the caller wants in FP32.
    half : the type of the rest.
    magnitudes : what was observed of tensors, by name; it bears on FP16 alone.
    """
    opset = opset_of(model)
    counts = _count_tensors(index, types)
    wide = wide_tensors(index, types)
    rounded = _made_integers(index, types)
    kept: dict[int, str] = {}
    for position, node in enumerate(index.nodes):
        outputs = [name for name in node.output if name]
        if any(name in asked for name in outputs):
            kept[position] = "asked for"
        elif node.op_type in _SENSITIVE:
            kept[position] = f"{node.op_type} is computed in FP32"
        elif node.op_type in _SELF_TYPED:
            kept[position] = f"{node.op_type} has a type of its own"
        elif node.op_type in _HOLDERS:
            kept[position] = f"{node.op_type} is about a sequence or an optional, which stays in FP32"
        elif node.op_type in _BITWISE:
            kept[position] = f"{node.op_type} reads bits"
        elif any(name in index.captured for name in outputs):
            kept[position] = "a nested graph reads it"
        elif any(name in counts for name in outputs) or _turns_into_integers(node, counts, types):
            kept[position] = f"it computes with counts, which {half.label} does not hold exactly"
        elif position in rounded:
            kept[position] = f"it is on the way to integers, which {half.label} would change"
        elif half is BFLOAT16 and node.op_type in _NOT_BUILT_IN_BFLOAT16:
            kept[position] = f"TensorRT does not build {node.op_type} in BF16"
        elif not takes_half(node, opset, types, half):
            kept[position] = f"{node.op_type} does not take {half.label} here"
        elif (lost := _lost_constant(node, index, types, half)) is not None:
            kept[position] = f"{half.label} cannot hold its constant {lost!r}"
        elif position in wide:
            kept[position] = wide[position]
    for name in overflowing_tensors(index, half.overflow):
        for position in index.consumers.get(name, ()) if is_float32(types.get(name)) else ():
            kept.setdefault(position, f"{name!r} holds a constant that {half.label} does not")
    for name, fault in _faults(index, types, magnitudes or {}, half).items():
        maker = [index.producers[name]] if name in index.producers else []
        for position in [*maker, *index.consumers.get(name, ())]:
            kept.setdefault(position, f"{name!r} {fault}")
    for position, node in enumerate(index.nodes):
        readers = index.consumers.get(node.output[0], []) if node.op_type == "DequantizeLinear" else []
        if readers and kept.keys() >= set(readers) and not index.is_exposed(node.output[0]):
            kept.setdefault(position, "what it dequantizes for is computed in FP32")
    while surrounded := set(_surrounded(index, types, kept)):
        kept |= dict.fromkeys(surrounded, "only FP32 nodes are around it")
    return kept


def tensors_for_float16(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the tensors of which it should be observed whether FP16 can hold them.

    These are the FP32 tensors that nodes would make or read in FP16. Those that only rearrange another are
    left out: its values are theirs. So are those that the network writes infinities into, which FP16 has too.

    Parameters
    ----------
    model : a float32 network, not changed.

    Raises
    ------
    ModelError : the graph's types contradict each other.
    """
    types, index = infer_types(model), GraphIndex(model.graph)
    kept = float32_nodes(model, index, types, asked=set())
    unseen = {*index.initializers, *infinite_tensors(index)}
    names: dict[str, None] = {}
    for position, node in enumerate(index.nodes):
        if position not in kept:
            touched = [*_variables(node, index, types), *filter(None, node.output)]
            names.update((_origin(name, index), None) for name in touched if is_float32(types.get(name)))
    return tuple(name for name in names if name not in unseen)


def takes_half(node: onnx.NodeProto, opset: int, types: Types, half: HalfType = FLOAT16) -> bool:
    """Say whether an operator is defined for a 16-bit main input and 16-bit outputs."""
    import onnx

    if node.domain or any(nested_graphs(node)) or not onnx.defs.has(node.op_type, opset, ""):
        return False
    if any(item.name == "output_dtype" for item in node.attribute):
        return False
    schema = onnx.defs.get_schema(node.op_type, opset, "")
    for slot, name in enumerate(node.output):
        formal = schema.outputs[min(slot, len(schema.outputs) - 1)]
        if is_float32(types.get(name)) and f"tensor({half.name})" not in formal.types:
            return False
    return not node.input or not is_float32(types.get(node.input[0])) or slot_takes_half(node, 0, opset, half)


def slot_takes_half(node: onnx.NodeProto, slot: int, opset: int, half: HalfType = FLOAT16) -> bool:
    """Say whether one input of an operator may be of a 16-bit type; the scales of ``Resize`` may not."""
    import onnx

    formals = onnx.defs.get_schema(node.op_type, opset, "").inputs
    return f"tensor({half.name})" in formals[min(slot, len(formals) - 1)].types


def is_float32(read: ValueType | None) -> bool:
    """Say whether a tensor is known to be FP32."""
    import onnx

    return read is not None and read.elem_type == onnx.TensorProto.FLOAT


def _faults(
    index: GraphIndex, types: Types, magnitudes: MagnitudesByTensor, half: HalfType
) -> dict[str, str]:
    """Return what is wrong in FP16 with each tensor that FP16 cannot hold."""
    if half is not FLOAT16 or not magnitudes:
        return {}
    found = {name: fault for name, seen in magnitudes.items() if (fault := float16_fault(seen)) is not None}
    names = [*index.inputs, *(name for node in index.nodes for name in node.output if name)]
    return {
        name: found[origin]
        for name in names
        if is_float32(types.get(name)) and (origin := _observed_origin(name, index, magnitudes)) in found
    }


def _observed_origin(name: str, index: GraphIndex, magnitudes: MagnitudesByTensor) -> str:
    """Follow a tensor back, through changes of layout and quantizers, to one that was observed."""
    while name not in magnitudes:
        producer = index.producer(name)
        if producer is None or producer.op_type not in RESHAPES | QUANTIZERS:
            break
        name = producer.input[0]
    return name


def _origin(name: str, index: GraphIndex) -> str:
    producer = index.producer(name)
    while producer is not None and producer.op_type in RESHAPES:
        name = producer.input[0]
        producer = index.producer(name)
    return name


def _lost_constant(node: onnx.NodeProto, index: GraphIndex, types: Types, half: HalfType) -> str | None:
    for name in map(str, node.input):
        value = index.constant(name) if is_float32(types.get(name)) else None
        if value is not None and half.loses(value, each=node.op_type in QUANTIZERS):
            return name
    return None


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
        follows = node.op_type in ELEMENTWISE and bool(variables) and counts.issuperset(variables)
        if starts or follows:
            counts.update(node.output)
    return counts


def _turns_into_integers(node: onnx.NodeProto, counts: set[str], types: Types) -> bool:
    """Say whether a node compares or rounds counts, which must be exact until then."""
    return not counts.isdisjoint(node.input) and not any(is_float32(types.get(name)) for name in node.output)


def _made_integers(index: GraphIndex, types: Types) -> set[int]:
    """Return casts to integers, and the arithmetic before them, as of the bucket of a distance."""
    found: set[int] = set()
    for position, node in reversed(list(enumerate(index.nodes))):
        if node.domain or not node.input:
            continue
        if _casts_to_integers(node, types):
            maker = index.producer(node.input[0])
            if maker is not None and maker.op_type in ELEMENTWISE | _SENSITIVE:
                found.add(position)
        elif (
            node.op_type in ELEMENTWISE
            and is_float32(types.get(node.output[0]))
            and not found.isdisjoint(index.consumers.get(node.output[0], ()))
        ):
            found.add(position)
    return found


def _casts_to_integers(node: onnx.NodeProto, types: Types) -> bool:
    made = types.get(node.output[0]) if node.op_type == "Cast" else None
    return made is not None and _is_integer(made.elem_type) and is_float32(types.get(node.input[0]))


def _is_integer(elem_type: int) -> bool:
    import onnx

    return elem_type != 0 and onnx.helper.tensor_dtype_to_np_dtype(elem_type).kind in "iu"


def _variables(node: onnx.NodeProto, index: GraphIndex, types: Types) -> Iterator[str]:
    """Yield the FP32 inputs of a node that are not constants."""
    return (name for name in node.input if is_float32(types.get(name)) and name not in index.initializers)


def _surrounded(index: GraphIndex, types: Types, kept: dict[int, str]) -> Iterator[int]:
    for position, node in enumerate(index.nodes):
        if position in kept or node.op_type not in ELEMENTWISE or node.output[0] in index.outputs:
            continue
        before = [index.producers.get(name) for name in _variables(node, index, types)]
        after = index.consumers.get(node.output[0], [])
        if before and after and all(maker in kept for maker in before) and kept.keys() >= set(after):
            yield position
