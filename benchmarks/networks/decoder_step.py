"""Build one step of a decoder with a key-value cache, of Whisper-tiny's shape, with random weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.networks.graph_builder import GraphBuilder, float_value

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class DecoderShape:
    """Size of a decoder; the defaults are those of Whisper-tiny with a small vocabulary."""

    num_layers: int = 4
    width: int = 384
    num_heads: int = 6
    vocabulary: int = 2048
    max_positions: int = 448


def decoder_step(shape: DecoderShape | None = None, *, seed: int = 0) -> onnx.ModelProto:
    """Return a step that takes one token for each row and what the rows before it left behind.

    Inputs: ``token`` and ``position`` int64 [batch, 1]; for each layer ``layer.N.past_key`` and
    ``layer.N.past_value`` float32 [batch, heads, past, width / heads], ``layer.N.cross_key`` and
    ``layer.N.cross_value`` float32 [batch, heads, frames, width / heads].
    Outputs: ``logits`` float32 [batch, 1, vocabulary] and for each layer ``layer.N.key`` and
    ``layer.N.value``, one position longer than the past.

    References
    ----------
    A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022, arXiv:2212.04356.
    """
    import onnx

    shape = shape or DecoderShape()
    builder = GraphBuilder(np.random.default_rng(seed))
    width, head_width = shape.width, shape.width // shape.num_heads
    # Rows of unit length on average, so that they weigh as much as the sums that are added to them.
    words = builder.weight("embedding", (shape.vocabulary, width), 1)
    places = builder.weight("positions", (shape.max_positions, width), 1)
    stream = builder.node(
        "Add",
        [
            builder.node("Gather", [words, "token"], "embedded"),
            builder.node("Gather", [places, "position"], "place"),
        ],
        "placed",
    )
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["batch", 1])
        for name in ("token", "position")
    ]
    outputs = [float_value("logits", ["batch", 1, shape.vocabulary])]
    for index in range(shape.num_layers):
        name = f"layer.{index}"
        for part, length in (("past", "past"), ("cross", "frames")):
            inputs += [
                float_value(f"{name}.{part}_{kind}", ["batch", shape.num_heads, length, head_width])
                for kind in ("key", "value")
            ]
        outputs += [
            float_value(f"{name}.{kind}", ["batch", shape.num_heads, "length", head_width])
            for kind in ("key", "value")
        ]
        stream = _layer(builder, stream, name, shape)
    last = builder.norm(stream, "last", width)
    builder.node("MatMul", [last, builder.weight("head", (width, shape.vocabulary), width)], "logits")
    graph = onnx.helper.make_graph(builder.nodes, "decoder_step", inputs, outputs, builder.weights)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


def _layer(builder: GraphBuilder, stream: str, name: str, shape: DecoderShape) -> str:
    width = shape.width
    normed = builder.norm(stream, f"{name}.norm1", width)
    query = _heads(builder, normed, f"{name}.query", shape)
    for kind in ("key", "value"):
        new = _heads(builder, normed, f"{name}.new_{kind}", shape)
        builder.node("Concat", [f"{name}.past_{kind}", new], f"{name}.{kind}", axis=2)
    stream = _attend(builder, stream, query, f"{name}.key", f"{name}.value", f"{name}.self", shape)
    normed = builder.norm(stream, f"{name}.norm2", width)
    query = _heads(builder, normed, f"{name}.cross_query", shape)
    cross = [f"{name}.cross_key", f"{name}.cross_value"]
    stream = _attend(builder, stream, query, cross[0], cross[1], f"{name}.cross", shape)
    normed = builder.norm(stream, f"{name}.norm3", width)
    hidden = builder.gelu(builder.linear(normed, f"{name}.fc1", width, 4 * width), f"{name}.gelu")
    return builder.node("Add", [stream, builder.linear(hidden, f"{name}.fc2", 4 * width, width)], name)


def _heads(builder: GraphBuilder, rows: str, name: str, shape: DecoderShape) -> str:
    """Map rows [batch, 1, width] to heads [batch, heads, 1, width / heads]."""
    split = builder.constant("split", np.array([0, 0, shape.num_heads, -1], np.int64))
    linear = builder.linear(rows, name, shape.width, shape.width)
    shaped = builder.node("Reshape", [linear, split], f"{name}.split")
    return builder.node("Transpose", [shaped], f"{name}.heads", perm=[0, 2, 1, 3])


def _attend(
    builder: GraphBuilder, stream: str, query: str, key: str, value: str, name: str, shape: DecoderShape
) -> str:
    """Add to the stream what the query finds among keys and values [batch, heads, length, width / heads]."""
    scale = builder.constant("scale", np.array((shape.width / shape.num_heads) ** -0.5, np.float32))
    scaled = builder.node("Mul", [query, scale], f"{name}.scaled")
    columns = builder.node("Transpose", [key], f"{name}.columns", perm=[0, 1, 3, 2])
    scores = builder.node("MatMul", [scaled, columns], f"{name}.scores")
    shares = builder.node("Softmax", [scores], f"{name}.shares", axis=-1)
    context = builder.node("MatMul", [shares, value], f"{name}.context")
    rows = builder.node("Transpose", [context], f"{name}.rows", perm=[0, 2, 1, 3])
    merge = builder.constant("merge", np.array([0, 0, shape.width], np.int64))
    merged = builder.node("Reshape", [rows, merge], f"{name}.merged")
    attended = builder.linear(merged, f"{name}.out", shape.width, shape.width)
    return builder.node("Add", [stream, attended], f"{name}.residual")
