"""Build encoders of Whisper's shape with random weights, node by node, so that no download is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.networks.graph_builder import GraphBuilder, float_value

if TYPE_CHECKING:
    import onnx

MEL_BINS = 80
NUM_MEL_FRAMES = 3000
NUM_FRAMES = NUM_MEL_FRAMES // 2


@dataclass(frozen=True)
class EncoderShape:
    """Size of a Whisper encoder; the defaults are those of Whisper-tiny."""

    num_layers: int = 4
    width: int = 384
    num_heads: int = 6
    mel_bins: int = MEL_BINS


def whisper_encoder(shape: EncoderShape | None = None, *, seed: int = 0) -> onnx.ModelProto:
    """Return an encoder that takes ``mel`` float32 [batch, mel_bins, 3000] and gives [batch, 1500, width].

    Two convolutions, the second of stride 2, positions, and layers of attention and of a feed-forward part of
    four times the width, each behind a layer normalisation. The two attention products of a layer are named
    ``layer.N.scores`` and ``layer.N.context``.

    References
    ----------
    A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022, arXiv:2212.04356.
    """
    import onnx

    shape = shape or EncoderShape()
    builder = GraphBuilder(np.random.default_rng(seed))
    width, channels = shape.width, "mel"
    for index, (taken, stride) in enumerate([(shape.mel_bins, 1), (width, 2)], start=1):
        kernel = builder.weight(f"conv{index}.weight", (width, taken, 3), taken * 3)
        bias = builder.weight(f"conv{index}.bias", (width,), taken * 3)
        made = builder.node("Conv", [channels, kernel, bias], f"conv{index}", strides=[stride], pads=[1, 1])
        channels = builder.gelu(made, f"conv{index}.gelu")
    rows = builder.node("Transpose", [channels], "rows", perm=[0, 2, 1])
    stream = builder.node("Add", [rows, builder.weight("positions", (NUM_FRAMES, width), 1)], "placed")
    for index in range(shape.num_layers):
        stream = _layer(builder, stream, f"layer.{index}", shape)
    builder.norm(stream, "encoded", width)
    graph = onnx.helper.make_graph(
        builder.nodes,
        "whisper_encoder",
        [float_value("mel", ["batch", shape.mel_bins, NUM_MEL_FRAMES])],
        [float_value("encoded", ["batch", NUM_FRAMES, width])],
        builder.weights,
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


def _layer(builder: GraphBuilder, stream: str, name: str, shape: EncoderShape) -> str:
    width, heads = shape.width, shape.num_heads
    normed = builder.norm(stream, f"{name}.norm1", width)
    parts = builder.heads(normed, name, width, heads, key_bias=False)
    scale = builder.constant(f"{name}.scale", np.array((width / heads) ** -0.5, np.float32))
    query = builder.node("Mul", [parts["query"], scale], f"{name}.query.scaled")
    scores = builder.node("MatMul", [query, parts["key"]], f"{name}.scores")
    shares = builder.node("Softmax", [scores], f"{name}.shares", axis=-1)
    context = builder.node("MatMul", [shares, parts["value"]], f"{name}.context")
    merged = builder.merge_heads(context, f"{name}.context", width)
    attended = builder.linear(merged, f"{name}.out", width, width)
    stream = builder.node("Add", [stream, attended], f"{name}.residual1")
    normed = builder.norm(stream, f"{name}.norm2", width)
    hidden = builder.gelu(builder.linear(normed, f"{name}.fc1", width, 4 * width), f"{name}.gelu")
    return builder.node("Add", [stream, builder.linear(hidden, f"{name}.fc2", 4 * width, width)], name)
