"""Drop what no output depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.index import GraphIndex, delete_nodes

if TYPE_CHECKING:
    import onnx


def remove_unused(model: onnx.ModelProto) -> int:
    """Remove nodes and constants that no output depends on.

    Matches every node of which no output is read, and every initializer that nothing reads. Refuses graph
    inputs, which are the network's interface, and whatever a nested graph reads.

    Returns
    -------
    count : number of nodes and constants removed.
    """
    graph = model.graph
    index = GraphIndex(graph)
    wanted = index.outputs | index.captured
    unused = []
    for position in reversed(range(len(index.nodes))):
        node = index.nodes[position]
        if wanted.isdisjoint(filter(None, node.output)):
            unused.append(position)
        else:
            wanted.update(node.input)
    delete_nodes(graph, unused)
    count = len(unused)
    for position in reversed(range(len(graph.initializer))):
        if graph.initializer[position].name not in wanted:
            del graph.initializer[position]
            count += 1
    return count
