"""Build text encoders of BERT's shape with random weights, written out as older exporters do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.networks.graph_builder import GraphBuilder, float_value

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class BertShape:
    """Size of a BERT; the defaults are those of BERT-mini with a small vocabulary."""

    num_layers: int = 4
    width: int = 256
    num_heads: int = 4
    vocabulary: int = 2048
    max_positions: int = 512


def bert(shape: BertShape | None = None, *, seed: int = 0) -> onnx.ModelProto:
    """Return an encoder that takes ``ids`` and ``mask`` int64 [batch, words] and gives ``encoded``.

    Layer normalisation is spelled out, with an epsilon of 1e-12, and masked scores get the lowest number of
    FP32 added. ``encoded`` is float32 [batch, words, width].

    References
    ----------
    J. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
    2018, arXiv:1810.04805.
    """
    import onnx

    shape = shape or BertShape()
    builder = GraphBuilder(np.random.default_rng(seed))
    words = builder.weight("words", (shape.vocabulary, shape.width), 1)
    places = builder.weight("places", (shape.max_positions, shape.width), 1)
    start = builder.constant("start", np.array([0], np.int64))
    length = builder.node("Shape", ["ids"], "length", start=1, end=2)
    axis = builder.constant("axis", np.array([0], np.int64))
    placed = builder.node("Slice", [places, start, length, axis], "placed")
    stream = builder.node("Add", [builder.node("Gather", [words, "ids"], "embedded"), placed], "summed")
    stream = _norm(builder, stream, "embedded.norm", shape.width)
    bias = _mask(builder)
    for index in range(shape.num_layers):
        stream = _layer(builder, stream, bias, f"layer.{index}", shape)
    builder.node("Identity", [stream], "encoded")
    graph = onnx.helper.make_graph(
        builder.nodes,
        "bert",
        [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["batch", "words"])
            for name in ("ids", "mask")
        ],
        [float_value("encoded", ["batch", "words", shape.width])],
        builder.weights,
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


def _mask(builder: GraphBuilder) -> str:
    """Turn 1 and 0 into 0 and the lowest number, [batch, 1, 1, words]."""
    import onnx

    axes = builder.constant("mask.axes", np.array([1, 2], np.int64))
    wide = builder.node("Unsqueeze", ["mask", axes], "mask.wide")
    shown = builder.node("Cast", [wide], "mask.float", to=onnx.TensorProto.FLOAT)
    hidden = builder.node("Sub", [builder.constant("one", np.array(1, np.float32)), shown], "mask.hidden")
    lowest = builder.constant("lowest", np.array(np.finfo(np.float32).min))
    return builder.node("Mul", [hidden, lowest], "mask.bias")


def _norm(builder: GraphBuilder, rows: str, name: str, width: int) -> str:
    two = builder.constant("two", np.array(2, np.float32))
    epsilon = builder.constant("epsilon", np.array(1e-12, np.float32))
    mean = builder.node("ReduceMean", [rows], f"{name}.mean", axes=[-1])
    centred = builder.node("Sub", [rows, mean], f"{name}.centred")
    squared = builder.node("Pow", [centred, two], f"{name}.squared")
    variance = builder.node("ReduceMean", [squared], f"{name}.variance", axes=[-1])
    root = builder.node("Sqrt", [builder.node("Add", [variance, epsilon], f"{name}.safe")], f"{name}.root")
    normed = builder.node("Div", [centred, root], f"{name}.normed")
    gain = builder.constant(f"{name}.gain", np.ones(width, np.float32))
    shift = builder.constant(f"{name}.shift", np.zeros(width, np.float32))
    return builder.node("Add", [builder.node("Mul", [normed, gain], f"{name}.scaled"), shift], name)


def _layer(builder: GraphBuilder, stream: str, bias: str, name: str, shape: BertShape) -> str:
    width, heads = shape.width, shape.num_heads
    parts = builder.heads(stream, name, width, heads)
    root = builder.constant("root", np.array((width / heads) ** 0.5, np.float32))
    scores = builder.node("MatMul", [parts["query"], parts["key"]], f"{name}.scores")
    masked = builder.node(
        "Add", [builder.node("Div", [scores, root], f"{name}.scaled"), bias], f"{name}.masked"
    )
    shares = builder.node("Softmax", [masked], f"{name}.shares", axis=-1)
    context = builder.node("MatMul", [shares, parts["value"]], f"{name}.context")
    merged = builder.merge_heads(context, name, width)
    attended = builder.linear(merged, f"{name}.out", width, width)
    stream = _norm(builder, builder.node("Add", [stream, attended], f"{name}.sum1"), f"{name}.norm1", width)
    hidden = builder.gelu(builder.linear(stream, f"{name}.up", width, 4 * width), f"{name}.gelu")
    made = builder.linear(hidden, f"{name}.down", 4 * width, width)
    return _norm(builder, builder.node("Add", [stream, made], f"{name}.sum2"), f"{name}.norm2", width)
