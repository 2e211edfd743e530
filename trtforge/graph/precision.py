"""Type a network in FP16 or BF16, with FP32 where numerics demand it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trtforge.errors import QuantizationError
from trtforge.graph.float16_range import MagnitudesByTensor
from trtforge.graph.float32_nodes import float32_nodes, is_float32, slot_takes_half, takes_half
from trtforge.graph.half_types import BFLOAT16, FLOAT16, HalfType
from trtforge.graph.index import QUANTIZERS, GraphIndex, label
from trtforge.graph.names import match_nodes
from trtforge.graph.notes import FLOAT32_KEY, read_note, write_note
from trtforge.graph.opset import opset_of, raise_opset
from trtforge.graph.rewrites.hoist_constants import hoist_constants
from trtforge.graph.split_dequantizers import split_dequantizers
from trtforge.graph.tensor_types import ValueType, drop_inferable_types, infer_types
from trtforge.model import copy_model

if TYPE_CHECKING:
    import onnx

_QUANTIZER_OPSET = 19


def to_float16(
    model: onnx.ModelProto,
    *,
    keep_io: bool = True,
    keep_float32: Sequence[str] = (),
    magnitudes: MagnitudesByTensor | None = None,
) -> onnx.ModelProto:
    """Convert a network's FP32 tensors to FP16, casting where FP16 and FP32 meet.

    Nodes that need FP32 keep it (`trtforge.graph.float32_nodes` says which and why; `kept_float32` reads it
    from the result). Scales of quantizers become FP16, so that what they dequantize is FP16 too. A tensor
    that both precisions read is cast once.

    Parameters
    ----------
    model : a float32 network, quantized or not; not changed.
    keep_io : whether inputs and outputs stay FP32; if not, they become FP16.
    keep_float32 : further nodes to leave in FP32, by name, output or shell pattern.
    magnitudes : what was observed of the network's tensors, such as ``Observations.tensors``. Makers and
        readers of a tensor that overflows or vanishes in FP16 stay in FP32
        (`trtforge.graph.float16_range.float16_fault`). `tensors_for_float16` says what to observe.

    Returns
    -------
    converted : the network with the same input and output names and shapes. The opset is raised to 19 where
        there are quantizers, whose scales cannot be FP16 before.

    Raises
    ------
    QuantizationError : a name in ``keep_float32`` matches no node, a tensor's dtype cannot be inferred, or
        ``keep_io`` is off and a nested graph reads an FP32 input.
    """
    converted = copy_model(model)
    if any(node.op_type in QUANTIZERS for node in converted.graph.node):
        converted = raise_opset(converted, _QUANTIZER_OPSET)
    return _typed(converted, FLOAT16, keep_io=keep_io, keep_float32=keep_float32, magnitudes=magnitudes)


def to_float16_around_quantizers(
    model: onnx.ModelProto, *, magnitudes: MagnitudesByTensor | None = None
) -> onnx.ModelProto:
    """Convert a quantized network as `to_float16` does, but leave quantizers and what they feed in FP32.

    For TensorRT 8.6, which reads neither FP16 scales nor the opset that has them: casts stand where a layer
    in INT8 meets one in FP16, and no quantizer is parted from its layer.

    Parameters
    ----------
    model : a network with Q/DQ pairs whose rest is float32; not changed.
    magnitudes : as for `to_float16`.

    Returns
    -------
    converted : the network with the same inputs, outputs and opset.

    Raises
    ------
    QuantizationError : a tensor's dtype cannot be inferred.
    """
    converted = copy_model(model)
    index = GraphIndex(converted.graph)
    kept = [
        node.output[0]
        for node in index.nodes
        if node.op_type in QUANTIZERS or _is_fed_by_quantizers(node, index) or _adds_bias(node, index)
    ]
    return _typed(converted, FLOAT16, keep_io=True, keep_float32=kept, magnitudes=magnitudes)


def to_bfloat16(
    model: onnx.ModelProto, *, keep_io: bool = True, keep_float32: Sequence[str] = ()
) -> onnx.ModelProto:
    """Convert a network's FP32 tensors to BF16, casting where BF16 and FP32 meet.

    BF16 has the range of FP32 and 8 bits of precision: nothing overflows, and everything is rounded more
    coarsely. The same nodes keep FP32 as in `to_float16`, but for those that FP16 cannot hold.

    Parameters
    ----------
    model : a float32 network without quantizers; not changed.
    keep_io : whether inputs and outputs stay FP32; if not, they become BF16.
    keep_float32 : further nodes to leave in FP32, by name, output or shell pattern.

    Returns
    -------
    converted : the network with the same input and output names and shapes. The opset is raised to 22 where
        an operator takes BF16 only there, as convolutions and pooling do.

    Raises
    ------
    QuantizationError : the network has quantizers, or as for `to_float16`.
    """
    quantizer = next((node for node in model.graph.node if node.op_type in QUANTIZERS), None)
    if quantizer is not None:
        raise QuantizationError(
            f"the network is quantized: {label(quantizer)!r} is a {quantizer.op_type}, and the 8 bits of "
            "BF16 would move its scale by up to 0.4 %",
            hint="type it float16, whose scales have 11 bits, or start from the floating-point network",
        )
    converted = copy_model(model)
    if _gains_by_raising(converted, infer_types(converted)):
        converted = raise_opset(converted, BFLOAT16.opset)
    return _typed(converted, BFLOAT16, keep_io=keep_io, keep_float32=keep_float32, magnitudes=None)


def require_float32(model: onnx.ModelProto) -> None:
    """Refuse a network in which there is nothing to type.

    Raises
    ------
    QuantizationError : none of its tensors is FP32.
    ModelError : the graph's types contradict each other.
    """
    found = {read.dtype for read in infer_types(model).values()}
    if "float32" not in found:
        floats = sorted(dtype for dtype in found if "float" in dtype)
        raise QuantizationError(
            "the network has no float32 tensor to type: "
            + (f"it is {' and '.join(floats)}" if floats else "it computes with integers alone"),
            hint="start from the network in FP32",
        )


def kept_float32(model: onnx.ModelProto) -> dict[str, str]:
    """Return which nodes of a typed network stay in FP32, each with the reason; empty for other networks."""
    return read_note(model, FLOAT32_KEY)


def _is_fed_by_quantizers(node: onnx.NodeProto, index: GraphIndex) -> bool:
    makers = (index.producer(name) for name in node.input)
    return any(maker is not None and maker.op_type == "DequantizeLinear" for maker in makers)


def _adds_bias(node: onnx.NodeProto, index: GraphIndex) -> bool:
    """Say whether it adds a constant to what a quantized layer gives, which is a step of that layer."""
    makers = [index.producer(name) for name in node.input if name not in index.initializers]
    return (
        node.op_type == "Add"
        and len(makers) == 1
        and makers[0] is not None
        and makers[0].op_type in ("MatMul", "Gemm")
        and _is_fed_by_quantizers(makers[0], index)
    )


def _gains_by_raising(model: onnx.ModelProto, types: dict[str, ValueType]) -> bool:
    """Say whether an operator of the network takes BF16 in the later opset alone."""
    import onnx

    opset = opset_of(model)
    return any(
        not takes_half(node, opset, types, BFLOAT16)
        and onnx.defs.has(node.op_type, BFLOAT16.opset, "")
        and takes_half(node, BFLOAT16.opset, types, BFLOAT16)
        for node in model.graph.node
        if any(is_float32(types.get(name)) for name in [*node.input, *node.output])
    )


def _typed(
    converted: onnx.ModelProto,
    half: HalfType,
    *,
    keep_io: bool,
    keep_float32: Sequence[str],
    magnitudes: MagnitudesByTensor | None,
) -> onnx.ModelProto:
    asked = match_nodes(converted.graph.node, keep_float32, asked="keep_float32")
    hoist_constants(converted)

    def choose() -> tuple[dict[str, ValueType], GraphIndex, dict[int, str]]:
        types, index = infer_types(converted), GraphIndex(converted.graph)
        _require_known_types(index, set(types))
        return (
            types,
            index,
            float32_nodes(converted, index, types, asked=asked, half=half, magnitudes=magnitudes),
        )

    types, index, kept = choose()
    if split_dequantizers(converted.graph, kept):
        types, index, kept = choose()
    floats = {name for name, read in types.items() if is_float32(read)}
    if not keep_io and (captured := index.inputs & index.captured & floats):
        raise QuantizationError(
            f"input {min(captured)!r} is read by a nested graph, which computes in FP32",
            hint="pass keep_io=True",
            settings=("keep_io",),
        )
    drop_inferable_types(converted)
    reasons = {
        label(index.nodes[position]): reason
        for position, reason in sorted(kept.items())
        if not floats.isdisjoint([*index.nodes[position].input, *index.nodes[position].output])
    }
    _Typer(index, floats, set(kept), opset_of(converted), half, keep_io=keep_io).rewrite()
    write_note(converted, FLOAT32_KEY, reasons)
    return converted


def _require_known_types(index: GraphIndex, known: set[str]) -> None:
    for node in index.nodes:
        for name in node.output:
            if name and name not in known and (index.consumers.get(name) or name in index.outputs):
                raise QuantizationError(
                    f"the dtype of tensor {name!r}, which {node.op_type} makes, is not known",
                    hint="store its type in the network's value_info",
                )


class _Typer:
    """Rewrites a graph so that every node reads the precision it computes in.

    Parameters
    ----------
    index : the graph before the change.
    floats : names of its FP32 tensors.
    kept : positions of the nodes that compute in FP32.
    opset : version of the default operator set.
    half : what the other nodes compute in.
    keep_io : whether inputs and outputs stay FP32.
    """

    def __init__(
        self,
        index: GraphIndex,
        floats: set[str],
        kept: set[int],
        opset: int,
        half: HalfType,
        *,
        keep_io: bool,
    ) -> None:
        self.index = index
        self.graph = index.graph
        self.floats = floats
        self.kept = kept
        self.opset = opset
        self.half = half
        self.keep_io = keep_io
        self.nodes: list[onnx.NodeProto] = []
        self.names = {node.name for node in index.nodes}
        # (tensor, is 16-bit) to the name under which it can be read so.
        self.versions: dict[tuple[str, bool], str] = {}

    def rewrite(self) -> None:
        for name in self.index.inputs & self.floats:
            self.versions[name, not self.keep_io] = name
        self._type_constants()
        for position, node in enumerate(self.index.nodes):
            for slot, name in enumerate(node.input):
                if name in self.floats:
                    node.input[slot] = self._read(name, half=self._wants_half(position, slot))
            self.nodes.append(node)
            self._write_outputs(node, half=position not in self.kept)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        if not self.keep_io:
            self._retype_io()

    def _wants_half(self, position: int, slot: int) -> bool:
        node = self.index.nodes[position]
        return position not in self.kept and slot_takes_half(node, slot, self.opset, self.half)

    def _type_constants(self) -> None:
        """Store each FP32 constant in the precisions it is read in; the last one to go keeps the name."""
        from onnx import numpy_helper

        wanted: dict[str, set[bool]] = {}
        for position, node in enumerate(self.index.nodes):
            for slot, name in enumerate(node.input):
                if name in self.index.initializers and name in self.floats:
                    wanted.setdefault(name, set()).add(self._wants_half(position, slot))
        for name, halves in wanted.items():
            tensor = self.index.initializers[name]
            self.versions[name, False] = name
            if True not in halves:
                continue
            value = numpy_helper.to_array(tensor)
            if halves == {True} and not self.index.is_exposed(name):
                tensor.CopyFrom(self.half.tensor(value, name))
                self.versions[name, True] = name
            else:
                made = self.versions[name, True] = self._new_name(name, half=True)
                self.graph.initializer.append(self.half.tensor(value, made))

    def _read(self, name: str, *, half: bool) -> str:
        if (name, half) not in self.versions:
            wanted = self._new_name(name, half=half)
            self._cast(self.versions[name, not half], wanted, half=half)
            self.versions[name, half] = wanted
        return self.versions[name, half]

    def _new_name(self, name: str, *, half: bool) -> str:
        return self.index.new_name(f"{name}_{self.half.name if half else 'float32'}")

    def _write_outputs(self, node: onnx.NodeProto, *, half: bool) -> None:
        for slot, name in enumerate(node.output):
            if name not in self.floats:
                continue
            if node.op_type == "Cast" and half:
                next(item for item in node.attribute if item.name == "to").i = self.half.elem_type
            if name in self.index.outputs and half == self.keep_io:
                # The graph output keeps its name and precision; the node writes beside it, and is known as
                # before.
                inner = self._new_name(name, half=half)
                if not node.name and label(node) not in self.names:
                    node.name = label(node)
                node.output[slot] = inner
                self._cast(inner, name, half=not half)
                self.versions[name, not half] = name
                self.versions[name, half] = inner
            else:
                self.versions[name, half] = name

    def _cast(self, source: str, made: str, *, half: bool) -> None:
        import onnx

        to = self.half.elem_type if half else onnx.TensorProto.FLOAT
        self.nodes.append(onnx.helper.make_node("Cast", [source], [made], name=f"{made}_cast", to=to))

    def _retype_io(self) -> None:
        made = {name for node in self.graph.node for name in node.output}
        for value in [*self.graph.input, *self.graph.output]:
            if value.name in self.floats and (value.name in made or value.name in self.index.inputs):
                value.type.tensor_type.elem_type = self.half.elem_type
