"""Read the tensors of a parsed network, and which of them hold the same values."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

# Layers that move values and change none, by the names of their types.
_MOVING = frozenset({"SHUFFLE", "SQUEEZE", "UNSQUEEZE"})


def tensor_names(network: Any, known: Collection[str]) -> dict[str, str]:
    """Tell for each tensor of a parsed network which known one has its values.

    The parser puts reshapes around 1-D convolutions, among others, and their results have names of its own
    making. A tensor on the other side of layers that only move values has the range of the known one.

    Parameters
    ----------
    network : an ``INetworkDefinition``, parsed.
    known : names of tensors whose range is known, such as those of ``Scales``.

    Returns
    -------
    TensorRT's name to the known name with the same values, or to itself where there is none; inputs first,
    then in the order of the layers.
    """
    names = [str(network.get_input(index).name) for index in range(network.num_inputs)]
    nearest = {name: name for name in names if name in known}
    moved: list[tuple[str, str]] = []
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        outputs = [str(layer.get_output(position).name) for position in range(layer.num_outputs)]
        names += outputs
        nearest.update({name: name for name in outputs if name in known})
        if layer.type.name in _MOVING and outputs:
            moved.append((str(layer.get_input(0).name), outputs[0]))
    # Forwards what enters a chain of moves is passed on; backwards what leaves one.
    for source, target in moved:
        if source in nearest:
            nearest.setdefault(target, nearest[source])
    for source, target in reversed(moved):
        if target in nearest:
            nearest.setdefault(source, nearest[target])
    # A tensor that two chains start from may have learned its range from the other one.
    for source, target in moved:
        if source in nearest:
            nearest.setdefault(target, nearest[source])
    return {name: nearest.get(name, name) for name in dict.fromkeys(names)}
