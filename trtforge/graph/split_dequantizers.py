"""Give readers in FP32 and readers in 16 bits a dequantizer each, so that no cast parts it from its layer."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from trtforge.graph.index import GraphIndex

if TYPE_CHECKING:
    import onnx


def split_dequantizers(graph: onnx.GraphProto, kept: Collection[int]) -> int:
    """Duplicate each dequantizer that nodes in FP32 and others read, and return how many were.

    TensorRT runs a layer in INT8 where dequantizers are next to it; a cast between would leave it in floating
    point. Those that leave the graph, or that a nested graph reads, are left alone.

    Parameters
    ----------
    graph : changed in place.
    kept : positions of the nodes that compute in FP32.
    """
    import onnx

    index = GraphIndex(graph)
    copies: dict[int, onnx.NodeProto] = {}
    for position, node in enumerate(index.nodes):
        name = node.output[0] if node.output else ""
        readers = index.consumers.get(name, [])
        wide = [reader for reader in readers if reader in kept]
        if node.op_type != "DequantizeLinear" or position in kept or index.is_exposed(name):
            continue
        if wide and len(wide) < len(readers):
            copies[position] = onnx.NodeProto()
            copies[position].CopyFrom(node)
            made = index.new_name(f"{name}_float32")
            copies[position].name = copies[position].output[0] = made
            for reader in set(wide):
                inputs = index.nodes[reader].input
                inputs[:] = [made if read == name else read for read in inputs]
    for position in sorted(copies, reverse=True):
        graph.node.insert(position + 1, copies[position])
    return len(copies)
