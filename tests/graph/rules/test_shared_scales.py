"""Which quantized tensors carry each other's values."""

import numpy as np
import pytest

from tests.graph.networks import Net
from trtforge.graph.rules import View
from trtforge.graph.shared_scales import shared_scales


def groups(net, tensors, shape=("a", 16, "t")):
    model = net.model({"x": list(shape)}, {"y": ["a", *["b"] * (len(shape) - 1)]})
    return shared_scales(View.of(model), set(tensors))


def close(net, *names):
    """Make one output of several tensors of one rank."""
    net.node("Concat", [net.node("Relu", [name], f"{name}.relu") for name in names], "y", axis=-1)


@pytest.mark.parametrize(
    ("operator", "options"),
    [("MaxPool", {"kernel_shape": [1]}), ("Transpose", {"perm": [0, 2, 1]}), ("Identity", {})],
)
def test_a_scale_is_carried_through(operator, options):
    net = Net()
    net.node(operator, ["x"], "y", **options)
    assert groups(net, ["x", "y"]) == (("x", "y"),)


@pytest.mark.parametrize(("operator", "options"), [("AveragePool", {"kernel_shape": [1]}), ("Relu", {})])
def test_operators_that_compute_begin_a_scale_of_their_own(operator, options):
    net = Net()
    net.node(operator, ["x"], "y", **options)
    assert groups(net, ["x", "y"]) == ()


def test_a_part_of_a_tensor_has_a_scale_of_its_own():
    net = Net()
    ends = [net.constant(name, np.array([value])) for name, value in (("s", 0), ("e", 4), ("d", 1))]
    net.node("Slice", ["x", *ends], "y")
    assert groups(net, ["x", "y"]) == ()


def test_readers_of_one_tensor_in_two_layouts_share_though_it_is_read_by_neither():
    net = Net()
    r = net.node("Relu", ["x"], "r")
    net.node("MaxPool", [r], "pooled", kernel_shape=[1])
    net.node("Identity", [r], "same")
    close(net, "pooled", "same")
    assert groups(net, ["pooled", "same"]) == (("pooled", "same"),)


def test_concatenations_with_an_input_in_common_share():
    net = Net()
    a, b, c = (net.node("Relu", ["x"], name) for name in "abc")
    net.node("Concat", [a, b], "ab", axis=1)
    net.node("Concat", [b, c], "bc", axis=1)
    close(net, "ab", "bc")
    assert groups(net, ["ab", "bc", "x"]) == (("ab", "bc"),)


def test_a_constant_in_common_binds_nothing():
    net = Net()
    zeros = net.constant("zeros", np.zeros((1, 1, 1), np.float32))
    net.node("Concat", ["x", zeros], "a", axis=1)
    net.node("Concat", [net.node("Relu", ["x"], "r"), zeros], "b", axis=1)
    close(net, "a", "b")
    assert groups(net, ["a", "b"], shape=(1, 16, 1)) == ()


def test_inputs_of_a_concatenation_that_nothing_quantized_reads_keep_their_own():
    net = Net()
    net.node("Concat", ["x", net.node("Relu", ["x"], "r")], "y", axis=1)
    assert groups(net, ["x", "r"]) == ()
