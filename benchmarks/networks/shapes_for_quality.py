"""Build small networks of the shapes of Conformer, MobileNet and BERT, with random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.networks.graph_builder import GraphBuilder, float_value

if TYPE_CHECKING:
    import onnx

NUM_MEL_FRAMES = 400
IMAGE_SIZE = 96
NUM_TOKENS, VOCABULARY = 128, 1000


def small_conformer(*, num_layers: int = 4, width: int = 144, seed: int = 0) -> onnx.ModelProto:
    """Return an encoder that takes ``mel`` float32 [batch, 80, 400] and gives [batch, 100, width].

    Two convolutions of stride 2, and blocks of half a feed-forward part, attention, a gated depthwise
    convolution of 15 frames, and the other half, each behind a normalisation; no relative positions.

    References
    ----------
    A. Gulati et al., "Conformer: Convolution-augmented Transformer for Speech Recognition", Interspeech 2020.
    """
    builder = GraphBuilder(np.random.default_rng(seed))
    taken, channels = "mel", 80
    for index in (1, 2):
        kernel = builder.weight(f"sub{index}.weight", (width, channels, 3), channels * 3)
        made = builder.node("Conv", [taken, kernel], f"sub{index}", strides=[2], pads=[1, 1])
        taken, channels = builder.node("Relu", [made], f"sub{index}.relu"), width
    stream = builder.node("Transpose", [taken], "rows", perm=[0, 2, 1])
    for index in range(num_layers):
        name = f"block.{index}"
        stream = _half_feed_forward(builder, stream, f"{name}.first", width)
        normed = builder.norm(stream, f"{name}.attention.norm", width)
        stream = _attend(builder, stream, normed, f"{name}.attention", width, 4)
        stream = _convolve(builder, stream, f"{name}.conv", width)
        stream = _half_feed_forward(builder, stream, f"{name}.last", width)
        stream = builder.norm(stream, name, width)
    frames = NUM_MEL_FRAMES // 4
    return _model(
        builder,
        "conformer",
        float_value("mel", ["batch", 80, NUM_MEL_FRAMES]),
        float_value(stream, ["batch", frames, width]),
    )


def small_mobilenet(*, width: int = 32, seed: int = 0) -> onnx.ModelProto:
    """Return a classifier that takes ``image`` float32 [batch, 3, 96, 96] and gives [batch, 100].

    Inverted residuals: expansion by 6, depthwise convolution, projection, clipped at 6.

    References
    ----------
    M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018.
    """
    builder = GraphBuilder(np.random.default_rng(seed))
    stream, channels = _conv(builder, "image", "stem", 3, width, 3, stride=2), width
    for index, (made, stride) in enumerate([(24, 2), (24, 1), (32, 2), (32, 1), (64, 2), (64, 1)]):
        name = f"block.{index}"
        wide = _conv(builder, stream, f"{name}.expand", channels, 6 * channels, 1)
        deep = _conv(
            builder,
            wide,
            f"{name}.depthwise",
            6 * channels,
            6 * channels,
            3,
            stride=stride,
            group=6 * channels,
        )
        narrow = _conv(builder, deep, f"{name}.project", 6 * channels, made, 1, clip=False)
        if stride == 1 and made == channels:
            narrow = builder.node("Add", [stream, narrow], name)
        stream, channels = narrow, made
    stream = _conv(builder, stream, "head", channels, 256, 1)
    pooled = builder.node("GlobalAveragePool", [stream], "pooled")
    flat = builder.node("Flatten", [pooled], "flat")
    weight, bias = builder.weight("classifier.weight", (100, 256), 256), builder.weight("bias", (100,), 256)
    builder.node("Gemm", [flat, weight, bias], "scores", transB=1)
    size: list[int | str] = ["batch", 3, IMAGE_SIZE, IMAGE_SIZE]
    return _model(builder, "mobilenet", float_value("image", size), float_value("scores", ["batch", 100]))


def small_bert(*, num_layers: int = 4, width: int = 256, seed: int = 0) -> onnx.ModelProto:
    """Return an encoder that takes ``tokens`` int64 [batch, 128] and gives [batch, 128, width].

    Normalisation after each residual addition.

    References
    ----------
    J. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
    NAACL 2019.
    """
    import onnx

    builder = GraphBuilder(np.random.default_rng(seed))
    words = builder.node("Gather", [builder.weight("words", (VOCABULARY, width), 1), "tokens"], "embedded")
    placed = builder.node("Add", [words, builder.weight("positions", (NUM_TOKENS, width), 1)], "placed")
    stream = builder.norm(placed, "embedding.norm", width)
    for index in range(num_layers):
        name = f"layer.{index}"
        stream = _attend(builder, stream, stream, f"{name}.attention", width, 4)
        stream = builder.norm(stream, f"{name}.attention.norm", width)
        hidden = builder.gelu(builder.linear(stream, f"{name}.fc1", width, 4 * width), f"{name}.gelu")
        summed = builder.node(
            "Add", [stream, builder.linear(hidden, f"{name}.fc2", 4 * width, width)], f"{name}.sum"
        )
        stream = builder.norm(summed, name, width)
    tokens = onnx.helper.make_tensor_value_info("tokens", onnx.TensorProto.INT64, ["batch", NUM_TOKENS])
    return _model(builder, "bert", tokens, float_value(stream, ["batch", NUM_TOKENS, width]))


def with_outlier_channels(model: onnx.ModelProto, *, share: float = 0.02, factor: float = 30.0) -> None:
    """Make a share of the channels that each normalisation gives ``factor`` times larger, in place.

    As trained transformers have them; the rows of the weights that read these channels shrink as much, so
    that what the network computes is the same. Normalisations whose gain is not read by products alone are
    left as they are.

    References
    ----------
    T. Dettmers et al., "LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale", NeurIPS 2022,
    section 4, on channels of large magnitude.
    """
    from trtforge.graph.smoothing import smooth_graph, smoothing_groups

    rng = np.random.default_rng(0)
    factors = {}
    for group in smoothing_groups(model):
        gain = next(tensor for tensor in model.graph.initializer if tensor.name == group.constants[0])
        values = np.ones(gain.dims[0], np.float32)
        chosen = rng.choice(len(values), max(1, int(share * len(values))), replace=False)
        values[chosen] = 1 / factor
        factors[group.tensor] = values
    model.CopyFrom(smooth_graph(model, factors))


def _model(
    builder: GraphBuilder, name: str, taken: onnx.ValueInfoProto, given: onnx.ValueInfoProto
) -> onnx.ModelProto:
    import onnx

    graph = onnx.helper.make_graph(builder.nodes, name, [taken], [given], builder.weights)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


def _conv(
    builder: GraphBuilder,
    x: str,
    name: str,
    taken: int,
    given: int,
    kernel: int,
    *,
    stride: int = 1,
    group: int = 1,
    clip: bool = True,
) -> str:
    fan_in = taken // group * kernel**2
    # Half of what goes in is cut off at zero: twice the variance keeps the size of the activations.
    weight = builder.weight(f"{name}.weight", (given, taken // group, kernel, kernel), max(1, fan_in // 2))
    bias = builder.weight(f"{name}.bias", (given,), 4)
    made = builder.node(
        "Conv", [x, weight, bias], name, strides=[stride] * 2, pads=[kernel // 2] * 4, group=group
    )
    if not clip:
        return made
    ends = [builder.constant(str(end), np.array(end, np.float32)) for end in (0.0, 6.0)]
    return builder.node("Clip", [made, *ends], f"{name}.clipped")


def _half_feed_forward(builder: GraphBuilder, stream: str, name: str, width: int) -> str:
    normed = builder.norm(stream, f"{name}.norm", width)
    hidden = _swish(builder, builder.linear(normed, f"{name}.fc1", width, 4 * width), f"{name}.swish")
    made = builder.linear(hidden, f"{name}.fc2", 4 * width, width)
    half = builder.constant("half", np.array(0.5, np.float32))
    return builder.node("Add", [stream, builder.node("Mul", [made, half], f"{name}.half")], f"{name}.sum")


def _convolve(builder: GraphBuilder, stream: str, name: str, width: int) -> str:
    normed = builder.norm(stream, f"{name}.norm", width)
    columns = builder.node("Transpose", [normed], f"{name}.columns", perm=[0, 2, 1])
    parts = []
    for part in ("value", "gate"):
        kernel = builder.weight(f"{name}.{part}.weight", (width, width, 1), width)
        parts.append(builder.node("Conv", [columns, kernel], f"{name}.{part}"))
    gate = builder.node("Sigmoid", [parts[1]], f"{name}.open")
    gated = builder.node("Mul", [parts[0], gate], f"{name}.gated")
    kernel = builder.weight(f"{name}.depthwise.weight", (width, 1, 15), 15)
    deep = builder.node("Conv", [gated, kernel], f"{name}.depthwise", pads=[7, 7], group=width)
    active = _swish(builder, deep, f"{name}.swish")
    kernel = builder.weight(f"{name}.out.weight", (width, width, 1), width)
    made = builder.node("Conv", [active, kernel], f"{name}.out")
    rows = builder.node("Transpose", [made], f"{name}.rows", perm=[0, 2, 1])
    return builder.node("Add", [stream, rows], f"{name}.sum")


def _swish(builder: GraphBuilder, x: str, name: str) -> str:
    return builder.node("Mul", [x, builder.node("Sigmoid", [x], f"{name}.gate")], name)


def _attend(builder: GraphBuilder, stream: str, rows: str, name: str, width: int, heads: int) -> str:
    parts = builder.heads(rows, name, width, heads)
    scale = builder.constant("scale", np.array((width / heads) ** -0.5, np.float32))
    query = builder.node("Mul", [parts["query"], scale], f"{name}.query.scaled")
    scores = builder.node("MatMul", [query, parts["key"]], f"{name}.scores")
    shares = builder.node("Softmax", [scores], f"{name}.shares", axis=-1)
    context = builder.node("MatMul", [shares, parts["value"]], f"{name}.context")
    merged = builder.merge_heads(context, name, width)
    return builder.node(
        "Add", [stream, builder.linear(merged, f"{name}.out", width, width)], f"{name}.residual"
    )
