"""Bring a network into the form that calibration and quantization start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.rewrites import REWRITES, fold_constants, remove_unused
from trtforge.graph.tensor_types import drop_inferable_types
from trtforge.model import copy_model

if TYPE_CHECKING:
    import onnx


def prepare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constants and batch normalisation, and remove what does nothing.

    Whatever stands between a convolution and the next quantizer keeps TensorRT from fusing the two, so it
    goes first. The tensors that survive keep their names, which is how calibration and quantization find
    each other. Preparing a prepared network changes nothing.

    Parameters
    ----------
    model : the network, not changed; its external data loaded; of any size.

    Returns
    -------
    prepared : a network with the same inputs, outputs, metadata and numbers. Batch normalisation is folded in
        float64 and rounded once, so outputs move by a few units in the last place. Constants are no longer
        listed among the inputs.

    Raises
    ------
    ModelError : the graph's types contradict each other, or one of its constants cannot be computed.
    """
    prepared = copy_model(model)
    _unlist_constants(prepared)
    drop_inferable_types(prepared)
    while sum(rewrite(prepared) for rewrite in REWRITES):
        pass
    remove_unused(prepared)
    return prepared


def with_constants_folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Compute what depends on constants alone, and change nothing else.

    TensorRT 8.6 seems to take a weight that a ``Cast`` or another node makes for a tensor, no weight, so that
    it fuses nothing with such a convolution.

    Parameters
    ----------
    model : the network, not changed; its external data loaded; of any size.

    Returns
    -------
    folded : a network with the same inputs, outputs and numbers; the same one where there is nothing to fold.

    Raises
    ------
    ModelError : the graph's types contradict each other, or one of its constants cannot be computed.
    """
    folded = copy_model(model)
    _unlist_constants(folded)
    if not fold_constants(folded):
        return model
    remove_unused(folded)
    return folded


def _unlist_constants(model: onnx.ModelProto) -> None:
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    for position in reversed(range(len(graph.input))):
        if graph.input[position].name in constants:
            del graph.input[position]
    # Before IR version 4 a constant had to be listed as an input.
    model.ir_version = max(model.ir_version, 4)
