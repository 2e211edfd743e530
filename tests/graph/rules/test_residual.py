"""Residual additions: inside a convolution's kernel, or in floating point."""

import numpy as np
import pytest

from tests.graph.networks import Net
from trtforge.graph.rules import Layer, Refusal, View, judge_residual

TRANSFORMER = Refusal("its stream is normalised: the residuals of transformers stay in floating point")


def judged(net, quantized, made="sum"):
    model = net.model({"x": ["b", 16, 8]}, {"z": ["b", "c", "t"]})
    view = View.of(model)
    node = next(node for node in view.index.nodes if node.output[0] == made)
    return judge_residual(node, view, quantized=set(quantized))


def block():
    """A convolution with a skip, and its rectified sum."""
    net = Net()
    net.node("Add", ["x", net.conv("x", "branch", (16, 16, 3))], "sum")
    net.node("Relu", ["sum"], "r")
    return net


def test_the_skip_of_a_convolution_is_quantized_where_a_quantized_layer_follows():
    net = block()
    net.conv("r", "z", (16, 16, 3))
    assert judged(net, ["branch", "z"]) == Layer(("x",))
    assert judged(net, ["branch"]) is None
    assert judged(net, ["z"]) is None


def test_a_mean_over_frames_is_pooling_not_normalisation():
    net = block()
    net.node("Add", [net.conv("r", "c", (16, 16, 3)), net.node("ReduceMean", ["sum"], "m", axes=[2])], "z")
    assert judged(net, ["branch", "c"]) == Layer(("x",))


@pytest.mark.parametrize("way", ["operator", "spelled out", "root mean square"])
def test_a_normalised_sum_is_a_transformers(way):
    net = block()
    if way == "operator":
        gains = [net.constant("g", np.ones(8, np.float32)), net.constant("s", np.zeros(8, np.float32))]
        net.node("LayerNormalization", ["sum", *gains], "n", axis=-1)
    elif way == "spelled out":
        net.node("Sub", ["sum", net.node("ReduceMean", ["sum"], "m", axes=[-1])], "n")
    else:
        net.node("Pow", ["sum", net.constant("two", np.float32(2))], "n")
    net.node("Add", [net.conv("r", "c", (16, 16, 3)), "n"], "z")
    assert judged(net, ["branch", "c"]) == TRANSFORMER


def test_an_addition_of_a_bias_or_of_another_shape_is_no_residual():
    net = Net()
    y = net.conv("x", "branch", (16, 16, 3))
    net.node("Add", [y, net.normal("bias", 16, 1)], "sum")
    net.conv("sum", "z", (16, 16, 3))
    assert judged(net, ["branch", "z"]) is None
    net = Net()
    y = net.conv("x", "branch", (16, 16, 3))
    net.node("Add", [y, net.node("ReduceMax", ["x"], "m", axes=[2])], "sum")
    net.conv("sum", "z", (16, 16, 3))
    assert judged(net, ["branch", "z"]) is None
