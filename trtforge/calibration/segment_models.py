"""Take a network apart into the nodes that observed tensors need, and into networks of their own."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from trtforge.calibration.segments import Segment, Step
from trtforge.model import nested_graphs

if TYPE_CHECKING:
    import onnx


class NodeList:
    """The nodes of a network that some of its tensors depend on, in the order they run.

    Parameters
    ----------
    model : the network; kept, not changed.
    observed : tensors to be computed.
    """

    def __init__(self, model: onnx.ModelProto, observed: Collection[str]) -> None:
        self._model = model
        self._inputs = {value.name: value for value in model.graph.input}
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._sparse = {tensor.values.name: tensor for tensor in model.graph.sparse_initializer}
        made = {name for node in model.graph.node for name in node.output}
        needed = set(observed)
        kept = []
        for node in reversed(model.graph.node):
            if needed & set(node.output):
                needed |= set(_reads(node))
                kept.append(node)
        self._nodes = kept[::-1]
        self.steps = tuple(
            Step(
                reads=tuple(name for name in _reads(node) if name in made),
                makes=tuple(name for name in node.output if name),
                weight_bytes=sum(_num_bytes(self._weights[n]) for n in _reads(node) if n in self._weights),
            )
            for node in self._nodes
        )

    def network(self, segment: Segment, values: Mapping[str, onnx.ValueInfoProto]) -> onnx.ModelProto:
        """Return a segment as a network of its own, with the constants that it reads and no others.

        Parameters
        ----------
        segment : the nodes, what they take and what they give.
        values : types of what it takes.
        """
        import onnx

        nodes = self._nodes[segment.first : segment.last]
        reads = dict.fromkeys(name for node in nodes for name in _reads(node))
        network = onnx.ModelProto()
        network.ir_version = self._model.ir_version
        network.opset_import.extend(self._model.opset_import)
        network.functions.extend(self._model.functions)
        graph = network.graph
        graph.name = self._model.graph.name
        graph.node.extend(nodes)
        graph.initializer.extend(self._weights[name] for name in reads if name in self._weights)
        graph.sparse_initializer.extend(self._sparse[name] for name in reads if name in self._sparse)
        graph.input.extend(self._inputs[name] for name in reads if name in self._inputs)
        graph.input.extend(values[name] for name in segment.takes)
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in segment.gives)
        return network


def _reads(node: onnx.NodeProto) -> Sequence[str]:
    """Return what a node reads, from inside its subgraphs too."""
    return tuple(dict.fromkeys((*filter(None, node.input), *_captured(node))))


def _captured(node: onnx.NodeProto) -> Iterator[str]:
    for _, graph in nested_graphs(node):
        own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        own |= {tensor.values.name for tensor in graph.sparse_initializer}
        own |= {name for inner in graph.node for name in inner.output}
        reads = (name for inner in graph.node for name in _reads(inner))
        yield from (name for name in (*reads, *(v.name for v in graph.output)) if name not in own)


def _num_bytes(tensor: onnx.TensorProto) -> int:
    import onnx

    item_bytes: int = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    num_elements: int = math.prod(tensor.dims)
    return num_elements * item_bytes
