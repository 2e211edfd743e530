"""Let the ``Attention`` operator be built where no fused kernel takes its type or size."""

from __future__ import annotations

from typing import Any


def allow_decomposing(trt: Any, network: Any) -> int:
    """Allow every attention of a network to be built of single operators where there is no kernel for it.

    The parser does not, so that a network with attention in FP32, or with heads of an unusual size, could not
    be built at all. Where there is a kernel it is taken as before.

    Parameters
    ----------
    trt : the library.
    network : an ``INetworkDefinition`` as it was parsed; changed in place.

    Returns
    -------
    The number of attentions.

    References
    ----------
    NVIDIA, TensorRT API, ``IAttention::setDecomposable``.
    """
    kind = getattr(trt, "IAttentionInputLayer", None)
    if kind is None:  # an early 10.x
        return 0
    count = 0
    for position in range(network.num_layers):
        boundary = network.get_layer(position)
        if boundary.type == trt.LayerType.ATTENTION_INPUT:
            boundary.__class__ = kind  # the bindings give every layer as an ILayer
            boundary.attention.decomposable = True
            count += 1
    return count
