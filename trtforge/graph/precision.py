"""Type a network in FP16, with FP32 where numerics demand it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trtforge.errors import QuantizationError
from trtforge.graph.float32_nodes import float32_nodes, is_float32, slot_takes_float16
from trtforge.graph.index import GraphIndex
from trtforge.graph.names import match_nodes
from trtforge.graph.opset import opset_of, raise_opset
from trtforge.graph.tensor_types import drop_inferable_types, infer_types

if TYPE_CHECKING:
    import onnx

_QUANTIZER_OPSET = 19


def to_float16(
    model: onnx.ModelProto, *, keep_io: bool = True, keep_float32: Sequence[str] = ()
) -> onnx.ModelProto:
    """Convert a network's FP32 tensors to FP16, casting where FP16 and FP32 meet.

    Nodes that need FP32 keep it (`trtforge.graph.float32_nodes` says which and why). Scales of quantizers
    become FP16, so that what they dequantize is FP16 too. A tensor that both precisions read is cast once.

    Parameters
    ----------
    model : a float32 network, quantized or not; not changed.
    keep_io : whether inputs and outputs stay FP32; if not, they become FP16.
    keep_float32 : further nodes to leave in FP32, by name, output or shell pattern.

    Returns
    -------
    converted : the network with the same input and output names and shapes. The opset is raised to 19 where
        there are quantizers, whose scales cannot be FP16 before.

    Raises
    ------
    QuantizationError : a name in ``keep_float32`` matches no node, a tensor's dtype cannot be inferred, or
        ``keep_io`` is off and a nested graph reads an FP32 input.
    """
    import onnx

    converted = onnx.ModelProto()
    converted.CopyFrom(model)
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in converted.graph.node):
        converted = raise_opset(converted, _QUANTIZER_OPSET)
    types = infer_types(converted)
    index = GraphIndex(converted.graph)
    _require_known_types(index, set(types))
    asked = match_nodes(index.nodes, keep_float32, asked="keep_float32")
    kept = float32_nodes(converted, index, types, asked=asked)
    floats = {name for name, read in types.items() if is_float32(read)}
    if not keep_io and (captured := index.inputs & index.captured & floats):
        raise QuantizationError(
            f"input {min(captured)!r} is read by a nested graph, which computes in FP32",
            hint="pass keep_io=True",
            settings=("keep_io",),
        )
    drop_inferable_types(converted)
    _Typer(index, floats, kept, opset_of(converted), keep_io=keep_io).rewrite()
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
    """

    def __init__(
        self, index: GraphIndex, floats: set[str], kept: set[int], opset: int, *, keep_io: bool
    ) -> None:
        self.index = index
        self.graph = index.graph
        self.floats = floats
        self.kept = kept
        self.opset = opset
        self.keep_io = keep_io
        self.nodes: list[onnx.NodeProto] = []
        # (tensor, is FP16) to the name under which it can be read so.
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
        return position not in self.kept and slot_takes_float16(self.index.nodes[position], slot, self.opset)

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
            with np.errstate(over="ignore", under="ignore"):
                half = numpy_helper.to_array(tensor).astype(np.float16)
            if halves == {True} and not self.index.is_exposed(name):
                tensor.CopyFrom(numpy_helper.from_array(half, name))
                self.versions[name, True] = name
            else:
                self.versions[name, True] = self.index.new_name(f"{name}_float16")
                self.graph.initializer.append(numpy_helper.from_array(half, self.versions[name, True]))

    def _read(self, name: str, *, half: bool) -> str:
        if (name, half) not in self.versions:
            wanted = self.index.new_name(f"{name}_{'float16' if half else 'float32'}")
            self._cast(self.versions[name, not half], wanted, half=half)
            self.versions[name, half] = wanted
        return self.versions[name, half]

    def _write_outputs(self, node: onnx.NodeProto, *, half: bool) -> None:
        import onnx

        for slot, name in enumerate(node.output):
            if name not in self.floats:
                continue
            if node.op_type == "Cast" and half:
                next(item for item in node.attribute if item.name == "to").i = onnx.TensorProto.FLOAT16
            if name in self.index.outputs and half == self.keep_io:
                # The graph output keeps its name and precision; the node writes beside it.
                inner = self.index.new_name(f"{name}_{'float16' if half else 'float32'}")
                node.output[slot] = inner
                self._cast(inner, name, half=not half)
                self.versions[name, not half] = name
                self.versions[name, half] = inner
            else:
                self.versions[name, half] = name

    def _cast(self, source: str, made: str, *, half: bool) -> None:
        import onnx

        to = onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT
        self.nodes.append(onnx.helper.make_node("Cast", [source], [made], name=f"{made}_cast", to=to))

    def _retype_io(self) -> None:
        import onnx

        made = {name for node in self.graph.node for name in node.output}
        for value in [*self.graph.input, *self.graph.output]:
            if value.name in self.floats and (value.name in made or value.name in self.index.inputs):
                value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
