"""The quantizers of a graph, and what they are between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from trtforge.graph.index import QUANTIZERS, GraphIndex, attribute, label
from trtforge.graph.opset import opset_of
from trtforge.graph.rewrites.hoist_constants import hoist_constants
from trtforge.graph.rules import View
from trtforge.graph.rules.reshape import RESHAPES
from trtforge.model import copy_model

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

MULTIPLIERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_MOVES = RESHAPES | {"MaxPool"}


@dataclass(frozen=True)
class Quantizers:
    """A graph with its quantizers and dequantizers at hand, its ``Constant`` nodes as initializers.

    Parameters
    ----------
    view : the graph's wiring and types.
    opset : its opset.
    nodes : its ``QuantizeLinear`` and ``DequantizeLinear`` nodes, in graph order.
    """

    view: View
    opset: int
    nodes: tuple[onnx.NodeProto, ...] = field(repr=False)

    @classmethod
    def of(cls, model: onnx.ModelProto) -> Quantizers:
        """Look at a network; raises ModelError where its types contradict each other."""
        if any(node.op_type == "Constant" for node in model.graph.node):
            model = copy_model(model)
            hoist_constants(model)
        view = View.of(model)
        nodes = tuple(node for node in view.index.nodes if node.op_type in QUANTIZERS)
        return cls(view, opset_of(model), nodes)

    @property
    def index(self) -> GraphIndex:
        """The graph's wiring."""
        return self.view.index

    @property
    def labels(self) -> list[str]:
        """What each node of the graph is known by, in graph order."""
        return [label(node) for node in self.index.nodes]

    def scale(self, node: onnx.NodeProto) -> NDArray[np.generic] | None:
        """Return a quantizer's scale, or None where it is computed."""
        return self.index.constant(node.input[1])

    def type_name(self, node: onnx.NodeProto) -> str:
        """Name the type that a quantizer makes, or that a dequantizer reads."""
        import onnx

        name = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
        read = self.view.types.get(name)
        return onnx.TensorProto.DataType.Name(read.elem_type) if read is not None else "UNDEFINED"

    def dequantizer(self, name: str, *, through_moves: bool = True) -> onnx.NodeProto | None:
        """Return the dequantizer that a tensor comes from, as it is or through changes of layout."""
        producer = self.index.producer(name)
        while through_moves and producer is not None and producer.op_type in _MOVES:
            producer = self.index.producer(producer.input[0])
        return producer if producer is not None and producer.op_type == "DequantizeLinear" else None

    def is_of_weight(self, node: onnx.NodeProto) -> bool:
        """Say whether a quantizer or dequantizer works on a constant."""
        source = self.index.producer(node.input[0])
        name = source.input[0] if source is not None and source.op_type in QUANTIZERS else node.input[0]
        return name in self.index.initializers

    def readers(self, name: str) -> Iterator[tuple[onnx.NodeProto, str]]:
        """Yield the nodes that read a tensor's values through changes of layout, each with what it reads."""
        for node in self.index.readers(name):
            if node.op_type in _MOVES:
                yield from self.readers(node.output[0])
            else:
                yield node, name

    def layers(self) -> Iterator[onnx.NodeProto]:
        """Yield the nodes that multiply."""
        return (node for node in self.index.nodes if node.op_type in MULTIPLIERS and not node.domain)


def axis_of(node: onnx.NodeProto) -> int:
    """Return the axis that a quantizer's scales run along."""
    return int(attribute(node, "axis", 1))
