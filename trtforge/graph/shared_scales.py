"""Find quantized tensors that must have one scale."""

from __future__ import annotations

from trtforge.graph.rules import View, carried_inputs


def shared_scales(view: View, tensors: set[str]) -> tuple[tuple[str, ...], ...]:
    """Group the quantized tensors that carry each other's values.

    Going back from a quantized tensor through concatenations, pooling by maximum and changes of layout, all
    that is passed has its scale: so TensorRT can move the quantizer to where the values are computed, and one
    computed tensor is written in INT8 once, whoever reads it and by whatever way. Ways that meet join their
    groups.

    Parameters
    ----------
    view : the graph.
    tensors : names of the activations to be quantized.

    Returns
    -------
    groups : two names or more each, sorted, disjoint.
    """
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for name in tensors:
        pending, seen = [name], {name}
        while pending:
            producer = view.index.producer(pending.pop())
            if producer is None:
                continue
            for source in carried_inputs(producer, view):
                if source not in seen:
                    seen.add(source)
                    pending.append(source)
                    leader[find(source)] = find(name)
    groups: dict[str, list[str]] = {}
    for name in sorted(tensors):
        groups.setdefault(find(name), []).append(name)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)
