"""Build a network one of whose outputs is as long as the data say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.networks.graph_builder import GraphBuilder, float_value

if TYPE_CHECKING:
    import onnx

CHANNELS = 64


def frame_selector(*, seed: int = 0) -> onnx.ModelProto:
    """Return a network that gives the features of those frames alone that a second input marks.

    Inputs: ``mel`` float32 [batch, 80, frames]; ``marks`` float32 [batch, frames], 0 where a frame is
    not wanted.
    Outputs: ``places`` int64 [2, found], row and frame of each mark; ``picked`` float32 [found, 64].
    """
    import onnx

    builder = GraphBuilder(np.random.default_rng(seed))
    taken, channels = "mel", 80
    for index in (1, 2):
        kernel = builder.weight(f"conv{index}.weight", (CHANNELS, channels, 3), channels * 3)
        bias = builder.weight(f"conv{index}.bias", (CHANNELS,), channels * 3)
        made = builder.node("Conv", [taken, kernel, bias], f"conv{index}", pads=[1, 1])
        taken, channels = builder.node("Relu", [made], f"relu{index}"), CHANNELS
    rows = builder.node("Transpose", [taken], "rows", perm=[0, 2, 1])
    builder.node("NonZero", ["marks"], "places")
    where = builder.node("Transpose", ["places"], "where", perm=[1, 0])
    builder.node("GatherND", [rows, where], "picked")
    graph = onnx.helper.make_graph(
        builder.nodes,
        "frame_selector",
        [float_value("mel", ["batch", 80, "frames"]), float_value("marks", ["batch", "frames"])],
        [
            onnx.helper.make_tensor_value_info("places", onnx.TensorProto.INT64, [2, "found"]),
            float_value("picked", ["found", CHANNELS]),
        ],
        builder.weights,
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
