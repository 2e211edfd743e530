"""A tiny recogniser, quick to calibrate and to run."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trtforge.audio import LogMel
from trtforge.speech import CtcDecoder


def save_recogniser(path: Path) -> None:
    """Write two random convolutions that say how speech becomes their input and text their output."""
    random = np.random.default_rng(0)
    decoder = CtcDecoder((" ", *"abcdefghijklmnopqrstuvwxyz"), 27, "logits", 2)
    weights = {
        "w1": random.standard_normal((32, 80, 3)).astype(np.float32) * 0.1,
        "w2": random.standard_normal((decoder.num_symbols, 32, 3)).astype(np.float32) * 0.1,
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["mel", "w1"], ["c1"], name="conv1", pads=[1, 1], strides=[2]),
            helper.make_node("Relu", ["c1"], ["r1"], name="relu1"),
            helper.make_node("Conv", ["r1", "w2"], ["c2"], name="conv2", pads=[1, 1]),
            helper.make_node("Transpose", ["c2"], ["logits"], name="last", perm=[0, 2, 1]),
        ],
        "recogniser",
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["batch", 80, "frames"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "steps", decoder.num_symbols])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(
        model,
        {"trtforge.features": json.dumps(LogMel().to_json()), "trtforge.decoder": decoder.metadata()},
    )
    onnx.save(model, path)
