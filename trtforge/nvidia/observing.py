"""Let intermediate tensors of a network be read while its engine runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trtforge.errors import CalibrationError
from trtforge.nvidia.flavor import Flavor

_FLOATING = ("FLOAT", "HALF", "BF16")


def expose_tensors(flavor: Flavor, trt: Any, network: Any, names: Sequence[str], *, half: bool) -> None:
    """Mark tensors of a parsed network as outputs or, where the library has those, as debug tensors.

    A network's own output stays an output. Either mark keeps the builder from fusing the tensor away, and
    debug tensors alone leave the engine's inputs and outputs as they are.

    Parameters
    ----------
    flavor, trt : the library.
    network : an ``INetworkDefinition``, parsed.
    names : results of nodes.
    half : whether tensors marked as outputs are given in half precision, in which the engine computes.

    Raises
    ------
    CalibrationError : the parsed network has no such tensor, or it is not of floating point.
    """
    made = {}
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        for position in range(layer.num_outputs):
            tensor = layer.get_output(position)
            if tensor is not None:
                made[str(tensor.name)] = tensor
    missing = [name for name in names if name not in made]
    if missing:
        raise CalibrationError(
            f"{flavor} keeps {len(missing)} of {len(names)} tensors under no name of the network's, "
            f"the first {missing[0]!r}, so they cannot be observed on the GPU",
            hint="prepare the network first (trtforge.graph.prepare), or collect on the CPU",
        )
    for name in names:
        tensor = made[name]
        if tensor.dtype.name not in _FLOATING:
            raise CalibrationError(f"tensor {name!r} cannot be observed: it is {tensor.dtype.name.lower()}")
        if tensor.is_network_output:
            continue
        if flavor.has_debug_tensors:
            if not network.mark_debug(tensor):
                raise CalibrationError(f"{flavor} refuses to show tensor {name!r}")
            continue
        network.mark_output(tensor)
        if half:
            tensor.dtype = trt.DataType.HALF
