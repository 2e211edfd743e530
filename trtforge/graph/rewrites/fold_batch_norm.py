"""Fold batch normalisation into the layer before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trtforge.graph.index import GraphIndex, attribute, delete_nodes

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

_LAYERS = ("Conv", "ConvTranspose", "Gemm")
_DEFAULT_EPSILON = 1e-5


def fold_batch_norm(model: onnx.ModelProto) -> int:
    """Fold ``BatchNormalization`` in inference into the weights of the layer that feeds it.

    With ``s = gamma / sqrt(var + epsilon)``, output channels of the weight are multiplied by ``s`` and the
    bias becomes ``(bias - mean) * s + beta``, both in float64, rounded once to the weight's dtype.

    Matches ``Conv`` and ``ConvTranspose`` of any group count, and ``Gemm``, with constant weight and bias.
    Refuses a layer whose output anything else reads, training mode, batch statistics as outputs,
    per-activation statistics, a bias that differs from row to row, and parameters that are computed.

    Returns
    -------
    count : number of normalisations folded.

    References
    ----------
    S. Ioffe and C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
    Covariate Shift", ICML 2015.
    """
    index = GraphIndex(model.graph)
    folded: list[int] = []
    for position, norm in enumerate(index.nodes):
        layer = _foldable_layer(norm, index)
        if layer is not None and _fold(layer, norm, index):
            folded.append(position)
    delete_nodes(model.graph, folded)
    return len(folded)


def _foldable_layer(norm: onnx.NodeProto, index: GraphIndex) -> onnx.NodeProto | None:
    if norm.op_type != "BatchNormalization" or norm.domain or any(norm.output[1:]):
        return None
    if attribute(norm, "training_mode", 0) != 0 or attribute(norm, "spatial", 1) != 1:
        return None
    layer = index.producer(norm.input[0])
    if layer is None or layer.domain or layer.op_type not in _LAYERS:
        return None
    return layer if layer.output[0] == norm.input[0] and index.is_private(norm.input[0]) else None


def _fold(layer: onnx.NodeProto, norm: onnx.NodeProto, index: GraphIndex) -> bool:
    weight = index.constant(layer.input[1])
    parameters = [index.constant(name) for name in norm.input[1:5]]
    if weight is None or any(value is None for value in parameters):
        return False
    gamma, beta, mean, variance = (np.asarray(value, dtype=np.float64) for value in parameters)
    bias = _bias(layer, len(gamma), index)
    if bias is None:
        return False
    epsilon = attribute(norm, "epsilon", _DEFAULT_EPSILON)
    factor = gamma / np.sqrt(variance + epsilon)
    scaled = np.asarray(weight, dtype=np.float64) * _along_outputs(layer, factor, weight.shape)
    stem = layer.input[1]
    layer.input[1] = _store(layer.input[1], stem, scaled.astype(weight.dtype), index)
    shifted = ((bias - mean) * factor + beta).astype(weight.dtype)
    if len(layer.input) > 2 and layer.input[2]:
        layer.input[2] = _store(layer.input[2], layer.input[2], shifted, index)
    else:
        del layer.input[2:]
        layer.input.append(_store(None, f"{stem}_bias", shifted, index))
    for item in layer.attribute:
        if item.name == "beta":
            item.f = 1.0
    layer.output[0] = norm.output[0]
    return True


def _bias(layer: onnx.NodeProto, num_channels: int, index: GraphIndex) -> NDArray[np.float64] | None:
    """Return what the layer adds to each output channel, or None where that is not one constant a channel."""
    if len(layer.input) < 3 or not layer.input[2]:
        return np.zeros(num_channels)
    stored = index.constant(layer.input[2])
    if stored is None or stored.size not in (1, num_channels) or stored.shape[:-1] not in ((), (1,)):
        return None
    bias = np.broadcast_to(np.asarray(stored, dtype=np.float64).reshape(-1), (num_channels,))
    beta = attribute(layer, "beta", 1.0) if layer.op_type == "Gemm" else 1.0
    return np.asarray(bias * beta)


def _along_outputs(
    layer: onnx.NodeProto, factor: NDArray[np.float64], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Shape one factor for each output channel so that it multiplies the weight."""
    if layer.op_type == "Conv":
        return factor.reshape(-1, *[1] * (len(shape) - 1))
    if layer.op_type == "Gemm":
        return factor[:, None] if attribute(layer, "transB", 0) else factor[None, :]
    # ConvTranspose weights are [inputs, outputs / group, ...]: each group of inputs has outputs of its own.
    group = attribute(layer, "group", 1)
    by_group = np.repeat(factor.reshape(group, -1), shape[0] // group, axis=0)
    return by_group.reshape(shape[0], shape[1], *[1] * (len(shape) - 2))


def _store(old: str | None, stem: str, value: NDArray[np.generic], index: GraphIndex) -> str:
    """Write a constant over the old one where nothing else reads it, or beside it; return its name."""
    from onnx import numpy_helper

    if old is not None and index.is_private(old):
        index.initializers[old].CopyFrom(numpy_helper.from_array(value, old))
        return old
    name = index.new_name(stem)
    index.graph.initializer.append(numpy_helper.from_array(value, name))
    return name
