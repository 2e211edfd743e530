"""Build image classifiers of MobileNetV2's shape with random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.networks.graph_builder import GraphBuilder, float_value

if TYPE_CHECKING:
    import onnx

# Expansion, channels, repeats, stride of the first: table 2 of the paper.
_STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


def mobilenet(*, size: int = 224, num_classes: int = 1000, seed: int = 0) -> onnx.ModelProto:
    """Return a classifier that takes ``image`` float32 [batch, 3, size, size] and gives ``scores``.

    Convolutions, batch normalisation and activations cut at 6, in blocks that widen, filter each channel
    alone and narrow again. ``scores`` is float32 [batch, num_classes].

    References
    ----------
    M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, arXiv:1801.04381.
    """
    import onnx

    builder = GraphBuilder(np.random.default_rng(seed))
    made, channels = _conv(builder, "image", "stem", 3, 32, kernel=3, stride=2), 32
    for stage, (expansion, width, repeats, stride) in enumerate(_STAGES):
        for index in range(repeats):
            name = f"stage{stage}.{index}"
            made = _block(builder, made, name, channels, width, expansion, stride if index == 0 else 1)
            channels = width
    made = _conv(builder, made, "last", channels, 1280)
    pooled = builder.node("GlobalAveragePool", [made], "pooled")
    flat = builder.node("Flatten", [pooled], "flat", axis=1)
    weight = builder.weight("fc.weight", (num_classes, 1280), 1280)
    bias = builder.weight("fc.bias", (num_classes,), 1280)
    builder.node("Gemm", [flat, weight, bias], "scores", transB=1)
    graph = onnx.helper.make_graph(
        builder.nodes,
        "mobilenet",
        [float_value("image", ["batch", 3, size, size])],
        [float_value("scores", ["batch", num_classes])],
        builder.weights,
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


def _block(
    builder: GraphBuilder, made: str, name: str, taken: int, given: int, expansion: int, stride: int
) -> str:
    wide, inner = made, taken * expansion
    if expansion > 1:
        wide = _conv(builder, made, f"{name}.widen", taken, inner)
    deep = _conv(builder, wide, f"{name}.depth", inner, inner, kernel=3, stride=stride, group=inner)
    narrow = _conv(builder, deep, f"{name}.narrow", inner, given, cut=False)
    return builder.node("Add", [made, narrow], name) if stride == 1 and taken == given else narrow


def _conv(
    builder: GraphBuilder,
    made: str,
    name: str,
    taken: int,
    given: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    group: int = 1,
    cut: bool = True,
) -> str:
    shape = (given, taken // group, kernel, kernel)
    # Twice the variance, as half of what an activation is given it cuts away.
    weight = builder.weight(f"{name}.weight", shape, max(shape[1] * kernel * kernel // 2, 1))
    pads = [kernel // 2] * 4
    made = builder.node(
        "Conv", [made, weight], f"{name}.conv", strides=[stride, stride], pads=pads, group=group
    )
    statistics = (("gain", 1), ("shift", 0), ("mean", 0), ("variance", 1))
    parts = [
        builder.constant(f"{name}.{part}", np.full(given, value, np.float32)) for part, value in statistics
    ]
    made = builder.node("BatchNormalization", [made, *parts], f"{name}.norm")
    if not cut:
        return made
    ends = [builder.constant(f"clip.{end}", np.array(end, np.float32)) for end in (0, 6)]
    return builder.node("Clip", [made, *ends], f"{name}.clip")
