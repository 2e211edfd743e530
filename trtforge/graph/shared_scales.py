"""Find quantized tensors that must have one scale."""

from __future__ import annotations

from trtforge.graph.index import GraphIndex


def concat_groups(index: GraphIndex, tensors: set[str]) -> tuple[tuple[str, ...], ...]:
    """Group the quantized tensors that a ``Concat`` joins.

    A concatenation runs in INT8 without rescaling where its output and inputs have one scale. Tensors that
    two concatenations have in common join their groups.

    Parameters
    ----------
    tensors : names of the activations to be quantized.

    Returns
    -------
    groups : two names or more each, sorted, disjoint.
    """
    leader = {name: name for name in tensors}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for node in index.nodes:
        if node.op_type == "Concat" and node.output[0] in tensors:
            for name in node.input:
                if name in tensors:
                    leader[find(name)] = find(node.output[0])
    groups: dict[str, list[str]] = {}
    for name in sorted(tensors):
        groups.setdefault(find(name), []).append(name)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)
