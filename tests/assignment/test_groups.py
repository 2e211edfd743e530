"""Groups of layers, and the multiply-accumulates in each."""

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from trtforge.assignment import find_groups
from trtforge.errors import ConfigError, QuantizationError

FEED = {"x": np.zeros((2, 16, 10), np.float32)}


def network():
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[batch, 16, time] x) => (float[batch, time, 32] y) {
            c = Conv <pads = [1, 1]> (x, w0)
            u = ConvTranspose <strides = [2], kernel_shape = [2]> (c, w1)
            p = MaxPool <kernel_shape = [2], strides = [2]> (u)
            t = Transpose <perm = [0, 2, 1]> (p)
            f = MatMul (t, w2)
            y = MatMul (f, w3)
        }
    """)
    names = ("blocks.0.conv", "blocks.0.up", "blocks.1.pool", "turn", "blocks.1.fc", "head")
    for node, name in zip(model.graph.node, names, strict=True):
        node.name = name
    shapes = {"w0": (24, 16, 3), "w1": (24, 16, 2), "w2": (16, 20), "w3": (20, 32)}
    rng = np.random.default_rng(0)
    for name, shape in shapes.items():
        model.graph.initializer.append(
            numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
        )
    return model


def test_the_work_of_each_layer_is_counted_at_the_feeds_shapes():
    found = {group.name: group.macs for group in find_groups(network(), FEED)}
    assert found == {
        "blocks.0.conv": 2 * 24 * 10 * 16 * 3,
        "blocks.0.up": 2 * 24 * 10 * 16 * 2,
        "blocks.1.fc": 2 * 10 * 16 * 20,
        "head": 2 * 10 * 20 * 32,
    }


def test_gemm_counts_what_it_sums():
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[n, 48] x) => (float[n, 32] y) { y = Gemm <transB = 1> (x, w) }
    """)
    model.graph.initializer.append(numpy_helper.from_array(np.ones((32, 48), np.float32), "w"))
    (group,) = find_groups(model, {"x": np.zeros((7, 48), np.float32)})
    assert (group.name, group.macs) == ("y", 7 * 48 * 32)


def test_blocks_are_named_up_to_the_first_number():
    found = {group.name: group.nodes for group in find_groups(network(), FEED, by="block")}
    assert found == {
        "blocks.0": ("blocks.0.conv", "blocks.0.up"),
        "blocks.1": ("blocks.1.fc",),
        "head": ("head",),
    }


def test_what_is_excluded_is_in_no_group():
    found = find_groups(network(), FEED, exclude=["blocks.0.*"])
    assert [group.name for group in found] == ["blocks.1.fc", "head"]
    with pytest.raises(QuantizationError, match="the network has no layer to quantize"):
        find_groups(network(), FEED, exclude=["*"])
    with pytest.raises(ConfigError, match="by must be 'layer' or 'block', got 'node'"):
        find_groups(network(), FEED, by="node")
