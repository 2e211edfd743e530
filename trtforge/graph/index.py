"""Who makes and who reads each tensor of a graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from trtforge.model import all_graphs, nested_graphs

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray


QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})


class GraphIndex:
    """A snapshot of a graph's wiring; make a new one after the graph has changed.

    Parameters
    ----------
    graph : the top-level graph.

    Attributes
    ----------
    producers : tensor name to the position in ``graph.node`` of the node that makes it.
    consumers : tensor name to the positions of the nodes that read it, once for each input that does.
    initializers : constant name to its tensor.
    inputs, outputs : names of the graph's inputs and outputs.
    captured : names that the bodies of ``If``, ``Loop`` and ``Scan`` nodes read from this graph.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.nodes = list(graph.node)
        self.producers: dict[str, int] = {}
        self.consumers: dict[str, list[int]] = defaultdict(list)
        self.captured: set[str] = set()
        for position, node in enumerate(self.nodes):
            for name in filter(None, node.output):
                self.producers[name] = position
            for name in filter(None, node.input):
                self.consumers[name].append(position)
            self.captured.update(_captured_names(node))
        self.initializers = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = {value.name for value in graph.input} - set(self.initializers)
        self.outputs = {value.name for value in graph.output}
        self._taken = {*self.producers, *self.initializers, *self.inputs, *self.captured}
        # A name may not be given twice, not even inside a nested graph that does not see the other.
        self._taken.update(name for node in self.nodes for name in _inner_names(node))

    def producer(self, name: str) -> onnx.NodeProto | None:
        """Return the node that makes a tensor, or None for inputs and constants."""
        position = self.producers.get(name)
        return None if position is None else self.nodes[position]

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """Return the nodes that read a tensor, each once, in graph order."""
        return [self.nodes[position] for position in dict.fromkeys(self.consumers.get(name, ()))]

    def is_private(self, name: str) -> bool:
        """Say whether one input of one node is all that reads a tensor."""
        return len(self.consumers.get(name, ())) == 1 and not self.is_exposed(name)

    def is_exposed(self, name: str) -> bool:
        """Say whether a tensor leaves the graph, or is read from inside a nested one."""
        return name in self.outputs or name in self.captured

    def constant(self, name: str) -> NDArray[np.generic] | None:
        """Return the value of an initializer, or None where the tensor is not one."""
        from onnx import numpy_helper

        tensor = self.initializers.get(name)
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor))

    def new_name(self, wanted: str) -> str:
        """Return ``wanted``, or a numbered variant of it, that nothing in the graph is called yet."""
        name, number = wanted, 1
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        return name


def behind_quantizers(name: str, index: GraphIndex) -> str:
    """Follow a tensor back through quantizers, to what is quantized first."""
    producer = index.producer(name)
    while producer is not None and producer.op_type in QUANTIZERS:
        name = producer.input[0]
        producer = index.producer(name)
    return name


def delete_nodes(graph: onnx.GraphProto, positions: Iterable[int]) -> None:
    """Remove the nodes at these positions."""
    for position in sorted(set(positions), reverse=True):
        del graph.node[position]


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return an attribute's value, typed as the operator's schema says, or ``default`` where it is absent."""
    import onnx

    for item in node.attribute:
        if item.name == name:
            return onnx.helper.get_attribute_value(item)
    return default


def label(node: onnx.NodeProto) -> str:
    """Return what people know a node by: its name, or else its first output."""
    return node.name or next(filter(None, node.output), node.op_type)


def count_inside(nodes: Iterable[onnx.NodeProto], op_types: Container[str]) -> dict[str, int]:
    """Count nodes of some operators inside nested graphs, by node and attribute; zeros are left out."""
    counts: dict[str, int] = {}
    for node in nodes:
        for name, body in nested_graphs(node):
            inner = (item for graph in all_graphs(body) for item in graph.node)
            if count := sum(item.op_type in op_types for item in inner):
                counts[f"{label(node)}.{name}"] = count
    return counts


def _captured_names(node: onnx.NodeProto) -> Iterator[str]:
    for _, body in nested_graphs(node):
        yield from _outer_names(body)


def _outer_names(graph: onnx.GraphProto) -> set[str]:
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    outer: set[str] = set()
    for node in graph.node:
        outer.update(name for name in [*node.input, *_captured_names(node)] if name and name not in known)
        known.update(node.output)
    outer.update(value.name for value in graph.output if value.name not in known)
    return outer


def _inner_names(node: onnx.NodeProto) -> Iterator[str]:
    for _, body in nested_graphs(node):
        for graph in all_graphs(body):
            yield from (value.name for value in (*graph.input, *graph.initializer))
            yield from (name for inner in graph.node for name in inner.output)
