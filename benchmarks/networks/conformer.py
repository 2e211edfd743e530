"""Build Conformer encoders with random weights, node by node, so that no download is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.networks.graph_builder import GraphBuilder, float_value

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class ConformerShape:
    """Size of a Conformer; the defaults are those of Conformer-S with 4 of its 16 layers."""

    num_layers: int = 4
    width: int = 144
    num_heads: int = 4
    kernel: int = 31
    mel_bins: int = 80
    vocabulary: int = 128


def conformer(shape: ConformerShape | None = None, *, seed: int = 0) -> onnx.ModelProto:
    """Return a recogniser that takes ``mel`` float32 [batch, mel_bins, frames] and gives ``logits``.

    Two convolutions of stride 2, then layers of half a feed-forward part, attention, a convolution behind a
    gated linear unit, and the other half, each behind a layer normalisation. Attention knows no positions.
    ``logits`` is float32 [batch, frames / 4, vocabulary].

    References
    ----------
    A. Gulati et al., "Conformer: Convolution-augmented Transformer for Speech Recognition", 2020,
    arXiv:2005.08100.
    """
    import onnx

    shape = shape or ConformerShape()
    builder = GraphBuilder(np.random.default_rng(seed))
    width, channels, taken = shape.width, "mel", shape.mel_bins
    for index in (1, 2):
        kernel = builder.weight(f"conv{index}.weight", (width, taken, 3), taken * 3 // 2)
        made = builder.node("Conv", [channels, kernel], f"conv{index}", strides=[2], pads=[1, 1])
        channels, taken = builder.node("Relu", [made], f"conv{index}.relu"), width
    stream = builder.node("Transpose", [channels], "rows", perm=[0, 2, 1])
    for index in range(shape.num_layers):
        stream = _layer(builder, stream, f"layer.{index}", shape)
    builder.linear(stream, "head", width, shape.vocabulary, bias=False)
    builder.node("Identity", ["head"], "logits")
    graph = onnx.helper.make_graph(
        builder.nodes,
        "conformer",
        [float_value("mel", ["batch", shape.mel_bins, "frames"])],
        [float_value("logits", ["batch", "steps", shape.vocabulary])],
        builder.weights,
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


def _layer(builder: GraphBuilder, stream: str, name: str, shape: ConformerShape) -> str:
    stream = _half_feed_forward(builder, stream, f"{name}.ff1", shape.width)
    stream = _attention(builder, stream, f"{name}.attention", shape)
    stream = _convolution(builder, stream, f"{name}.conv", shape)
    stream = _half_feed_forward(builder, stream, f"{name}.ff2", shape.width)
    return builder.norm(stream, f"{name}.norm", shape.width)


def _swish(builder: GraphBuilder, made: str, name: str) -> str:
    return builder.node("Mul", [made, builder.node("Sigmoid", [made], f"{name}.sigmoid")], name)


def _half_feed_forward(builder: GraphBuilder, stream: str, name: str, width: int) -> str:
    hidden = builder.linear(builder.norm(stream, f"{name}.norm", width), f"{name}.up", width, 4 * width)
    made = builder.linear(_swish(builder, hidden, f"{name}.swish"), f"{name}.down", 4 * width, width)
    half = builder.constant("half", np.array(0.5, np.float32))
    return builder.node("Add", [stream, builder.node("Mul", [made, half], f"{name}.half")], name)


def _attention(builder: GraphBuilder, stream: str, name: str, shape: ConformerShape) -> str:
    width, heads = shape.width, shape.num_heads
    normed = builder.norm(stream, f"{name}.norm", width)
    parts = builder.heads(normed, name, width, heads)
    root = builder.constant("root", np.array((width / heads) ** 0.5, np.float32))
    scores = builder.node("MatMul", [parts["query"], parts["key"]], f"{name}.scores")
    scaled = builder.node("Div", [scores, root], f"{name}.scaled")
    shares = builder.node("Softmax", [scaled], f"{name}.shares", axis=-1)
    context = builder.node("MatMul", [shares, parts["value"]], f"{name}.context")
    merged = builder.merge_heads(context, name, width)
    return builder.node("Add", [stream, builder.linear(merged, f"{name}.out", width, width)], name)


def _convolution(builder: GraphBuilder, stream: str, name: str, shape: ConformerShape) -> str:
    width, kernel = shape.width, shape.kernel
    normed = builder.norm(stream, f"{name}.norm", width)
    channels = builder.node("Transpose", [normed], f"{name}.channels", perm=[0, 2, 1])
    wide = builder.node(
        "Conv",
        [channels, builder.weight(f"{name}.gate.weight", (2 * width, width, 1), width)],
        f"{name}.wide",
    )
    axis = builder.constant("axis", np.array([1], np.int64))
    halves = []
    for part, (start, end) in {"kept": (0, width), "gate": (width, 2 * width)}.items():
        ends = [builder.constant(f"at_{at}", np.array([at], np.int64)) for at in (start, end)]
        halves.append(builder.node("Slice", [wide, *ends, axis], f"{name}.{part}"))
    gated = builder.node(
        "Mul", [halves[0], builder.node("Sigmoid", [halves[1]], f"{name}.open")], f"{name}.gated"
    )
    weight = builder.weight(f"{name}.depth.weight", (width, 1, kernel), kernel)
    deep = builder.node(
        "Conv", [gated, weight], f"{name}.depth", group=width, pads=[kernel // 2, kernel // 2]
    )
    ones = builder.constant(f"{name}.one", np.ones(width, np.float32))
    zeros = builder.constant(f"{name}.zero", np.zeros(width, np.float32))
    normed = builder.node("BatchNormalization", [deep, ones, zeros, zeros, ones], f"{name}.batch_norm")
    weight = builder.weight(f"{name}.point.weight", (width, width, 1), width // 2)
    made = builder.node("Conv", [_swish(builder, normed, f"{name}.swish"), weight], f"{name}.point")
    return builder.node(
        "Add", [stream, builder.node("Transpose", [made], f"{name}.back", perm=[0, 2, 1])], name
    )
