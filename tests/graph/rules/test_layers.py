"""Each operator's rule, on a graph of that one operator."""

import numpy as np
import pytest

from tests.graph.networks import Net
from trtforge.graph.rules import Layer, Refusal, View, judge_layer


def judged(net, shape, made="y"):
    model = net.model({"x": shape}, {"y": ["a", *["b"] * (len(shape) - 1)]})
    view = View.of(model)
    return judge_layer(next(node for node in view.index.nodes if node.output[0] == made), view)


def test_a_convolution_has_a_scale_for_each_row_of_its_weight():
    net = Net()
    net.conv("x", "y", (8, 4, 3), group=2)
    assert judged(net, ["a", 8, "t"]) == Layer(("x",), "y.weight", 0)


def test_a_convolution_with_a_computed_weight_or_a_constant_input_is_refused():
    net = Net()
    net.node("Conv", ["x", net.node("Relu", [net.normal("w", 4, 4, 3)], "computed")], "y")
    assert judged(net, ["a", 4, "t"]) == Refusal("its weight is computed")
    net = Net()
    net.node("Conv", [net.normal("c", 1, 4, 9), net.normal("w", 4, 4, 3)], "made")
    net.node("Add", ["x", "made"], "y")
    assert judged(net, ["a", 4, 7], made="made") == Refusal("its input is a constant")


@pytest.mark.parametrize(("group", "axis"), [(1, 1), (2, None)])
def test_a_transposed_convolution_has_channel_scales_where_it_is_not_grouped(group, axis):
    net = Net()
    net.node("ConvTranspose", ["x", net.normal("w", 8, 4, 3)], "y", group=group)
    assert judged(net, ["a", 8, "t"]) == Layer(("x",), "w", axis)


@pytest.mark.parametrize(("transposed", "axis"), [(0, 1), (1, 0)])
def test_the_columns_of_a_gemm_lie_along_the_axis_that_is_not_summed(transposed, axis):
    net = Net()
    net.node("Gemm", ["x", net.normal("w", 32, 32)], "y", transB=transposed)
    assert judged(net, ["a", 32]) == Layer(("x",), "w", axis)


def test_a_transposed_activation_is_refused():
    net = Net()
    net.node("Gemm", ["x", net.normal("w", 32, 32)], "y", transA=1)
    assert judged(net, [32, "a"]) == Refusal("its activation is transposed")


def test_a_product_with_a_weight_has_a_scale_for_each_column():
    net = Net()
    net.node("MatMul", ["x", net.normal("w", 32, 48)], "y")
    assert judged(net, ["a", "t", 32]) == Layer(("x",), "w", 1)


def test_a_product_of_two_activations_has_no_weight():
    net = Net()
    net.node("MatMul", ["x", net.node("Relu", ["x"], "r")], "y")
    assert judged(net, ["a", 32, 32]) == Layer(("x", "r"), None, None)


def test_a_product_of_two_activations_that_is_shallow_is_refused():
    net = Net()
    net.node("MatMul", ["x", net.node("Relu", ["x"], "r")], "y")
    assert judged(net, ["a", 8, 8]) == Refusal(
        "the product is 8 deep and 8 wide, and either below 16 is slow"
    )


def test_a_stack_of_weights_and_a_weight_on_the_left_are_refused():
    net = Net()
    net.node("MatMul", ["x", net.normal("w", 2, 32, 32)], "y")
    assert judged(net, ["a", "t", 32]) == Refusal("its weight has 3 axes, not 2")
    net = Net()
    net.node("MatMul", [net.normal("w", 32, 32), "x"], "y")
    assert judged(net, [32, "t"]) == Refusal("its constant is not the right-hand side")


def test_recurrent_layers_and_einsum_are_refused_in_words():
    net = Net()
    weights = [net.normal("w", 1, 64, 16), net.normal("r", 1, 64, 16)]
    net.node("LSTM", ["x", *weights], "l", hidden_size=16)
    net.node("Squeeze", ["l", net.constant("axes", np.array([1]))], "y")
    assert judged(net, ["t", "b", 16], made="l") == Refusal(
        "the products of a recurrent layer are inside its loop, where no quantizer can stand"
    )
    net = Net()
    net.node("Einsum", ["x", net.normal("w", 32, 32)], "y", equation="ab,bc->ac")
    assert judged(net, ["a", 32]) == Refusal(
        "Einsum has no fixed axis of output channels; write it as MatMul"
    )


def test_operators_that_do_not_multiply_are_no_concern():
    net = Net()
    net.node("Relu", ["x"], "y")
    assert judged(net, ["a", 32]) is None
