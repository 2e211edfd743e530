"""A network that stands in for a lighter recogniser: the interface of the bundled one, less work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from onnx import helper, numpy_helper

from trtforge.model import load_model

_GRAPH = """
    lighter (float[batch, 80, frames] mel) => (float[batch, time, 29] logits) {
        a = Conv<kernel_shape = [11], pads = [5, 5], strides = [2]>(mel, first)
        b = Relu(a)
        c = Conv<kernel_shape = [1]>(b, second)
        logits = Transpose<perm = [0, 2, 1]>(c)
    }
"""


def lighter_recogniser(model: Path, *, channels: int = 64, seed: int = 0) -> onnx.ModelProto:
    """Return a network of random weights; what it spells means nothing, what it costs does.

    Parameters
    ----------
    model : the bundled recogniser, whose metadata is taken.
    channels : between its two convolutions.
    seed : of its weights.
    """
    random = np.random.default_rng(seed)
    graph = onnx.parser.parse_graph(_GRAPH)
    weights = {"first": (channels, 80, 11), "second": (29, channels, 1)}
    graph.initializer.extend(
        numpy_helper.from_array(random.normal(0, 0.05, shape).astype(np.float32), name)
        for name, shape in weights.items()
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    network.metadata_props.extend(load_model(model).metadata_props)
    onnx.checker.check_model(network)
    return network
