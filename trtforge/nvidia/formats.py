"""How the inputs and outputs of a network lie in memory."""

from __future__ import annotations

from typing import Any


def fix_formats(trt: Any, network: Any) -> None:
    """Let inputs and outputs lie in C order alone, which ``DIRECT_IO`` then holds the builder to.

    Parameters
    ----------
    trt : the library.
    network : an ``INetworkDefinition`` as it was parsed; changed in place.

    References
    ----------
    NVIDIA, TensorRT API, ``BuilderFlag.DIRECT_IO``.
    """
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    tensors += [network.get_output(index) for index in range(network.num_outputs)]
    for tensor in tensors:
        if not tensor.is_shape_tensor:
            tensor.allowed_formats = 1 << int(trt.TensorFormat.LINEAR)
