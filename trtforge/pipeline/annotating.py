"""A network that says how its input is made and its output is read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from trtforge.audio import Features
from trtforge.calibration.shape_inference import ShapeInference
from trtforge.errors import ConfigError, ModelError
from trtforge.model import (
    DECODER_KEY,
    FEATURES_KEY,
    ModelSource,
    copy_model,
    load_model,
    model_inputs,
    model_metadata,
)
from trtforge.speech import CtcDecoder

if TYPE_CHECKING:
    import onnx

_FRAMES = 4096


def annotate(
    model: ModelSource, *, features: Features | None = None, decoder: CtcDecoder | None = None
) -> onnx.ModelProto:
    """State in a network's metadata how its input is made and how its output is read.

    Every stage reads both from there: `calibrate` the features, `evaluate` the decoder too.

    Parameters
    ----------
    model : path of an ``.onnx`` file, or the network in memory; it is left as it is.
    features : those that the network was trained with.
    decoder : what reads its output.

    Returns
    -------
    network : a copy that has them, in place of earlier ones; other metadata stays.

    Raises
    ------
    ConfigError : neither is given.
    ModelError : the network cannot be read, or its input does not fit the features or its output the decoder.
    """
    if features is None and decoder is None:
        raise ConfigError("there is nothing to state", hint="give features, a decoder, or both")
    network = copy_model(load_model(model))
    metadata = model_metadata(network)
    if features is not None:
        features.check(model_inputs(network))
        metadata[FEATURES_KEY] = json.dumps(features.to_json())
    if decoder is not None:
        decoder.check(network)
        metadata[DECODER_KEY] = decoder.metadata()
    del network.metadata_props[:]
    for key, value in metadata.items():
        network.metadata_props.add(key=key, value=value)
    return network


def infer_stride(model: onnx.ModelProto, output: str) -> int:
    """Return how many frames of the input make one of an output [batch, time, symbols].

    Raises
    ------
    ModelError : the network has several inputs, or shape inference does not follow it to the output.
    """
    specs = model_inputs(model)
    bands = specs[0].shape[1] if len(specs) == 1 and len(specs[0].shape) == 3 else None
    if isinstance(bands, int):
        shape = ShapeInference(model).shapes({specs[0].name: (1, bands, _FRAMES)}).get(output, ())
        if len(shape) == 3 and 0 < shape[1] <= _FRAMES:
            return round(_FRAMES / shape[1])
    raise ModelError(
        f"how many frames make one of output {output!r} does not show in the network's shapes",
        hint="it is the product of the strides in time",
        settings=("stride",),
    )
