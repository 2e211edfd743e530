import numpy as np
import pytest
from onnx import TensorProto

from tests.graph.networks import Net, assert_same_outputs
from trtforge.graph import prepare
from trtforge.graph.index import GraphIndex


def operators(model):
    return [node.op_type for node in model.graph.node]


def test_hand_checked_numbers():
    net = Net()
    net.constant("w", np.full((1, 1, 1), 3.0, np.float32))
    net.constant("b", np.array([1.0], np.float32))
    for name, value in (("gamma", 2.0), ("beta", 0.5), ("mean", 5.0), ("var", 15.0)):
        net.constant(name, np.array([value], np.float32))
    y = net.node("Conv", ["x", "w", "b"], "conv")
    net.node("BatchNormalization", [y, "gamma", "beta", "mean", "var"], "y", epsilon=1.0)
    prepared = prepare(net.model({"x": ["b", 1, "t"]}, {"y": ["b", 1, "t"]}))
    index = GraphIndex(prepared.graph)
    # s = 2 / sqrt(15 + 1) = 0.5; w = 3 s; b = (1 - 5) s + 0.5
    assert index.constant("w").item() == 1.5
    assert index.constant("b").item() == -1.5
    assert operators(prepared) == ["Conv"]
    assert prepared.graph.node[0].output[0] == "y"


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_every_group_count(group, transposed):
    net = Net()
    shape = (8, 12 // group, 3) if transposed else (12, 8 // group, 3)
    op = "ConvTranspose" if transposed else "Conv"
    y = net.node(op, ["x", net.normal("w", *shape), net.normal("b", 12)], "conv", group=group)
    net.norm(y, "y", 12)
    model = net.model({"x": ["b", 8, "t"]}, {"y": ["b", 12, "t2"]})
    prepared = prepare(model)
    assert operators(prepared) == [op]
    assert_same_outputs(model, prepared)


@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("bias", [None, (1,), (6,), (1, 6)])
def test_gemm(trans_b, bias):
    net = Net()
    inputs = ["x", net.normal("w", *((6, 5) if trans_b else (5, 6)))]
    if bias is not None:
        inputs.append(net.normal("b", *bias, std=1.0))
    net.norm(net.node("Gemm", inputs, "gemm", transB=trans_b, alpha=0.5, beta=2.0), "y", 6)
    model = net.model({"x": ["b", 5]}, {"y": ["b", 6]})
    prepared = prepare(model)
    assert operators(prepared) == ["Gemm"]
    assert_same_outputs(model, prepared)


def test_one_weight_of_two_layers_is_not_overwritten():
    net = Net()
    net.normal("w", 4, 4, 3)
    net.norm(net.node("Conv", ["x", "w"], "a"), "y", 4)
    net.node("Conv", ["x", "w"], "z")
    model = net.model({"x": ["b", 4, "t"]}, {"y": ["b", 4, "u"], "z": ["b", 4, "u"]})
    prepared = prepare(model)
    assert operators(prepared) == ["Conv", "Conv"]
    assert_same_outputs(model, prepared)


def two_readers(net, y):
    net.node("Relu", [y], "z")
    return {"y": ["b", 4, "u"], "z": ["b", 4, "u"]}


def a_graph_output(net, y):
    return {"y": ["b", 4, "u"], "conv": ["b", 4, "u"]}


@pytest.mark.parametrize("expose", [two_readers, a_graph_output])
def test_refuses_a_layer_that_something_else_reads(expose):
    net = Net()
    y = net.node("Conv", ["x", net.normal("w", 4, 4, 3)], "conv")
    net.norm(y, "y", 4)
    model = net.model({"x": ["b", 4, "t"]}, expose(net, y))
    prepared = prepare(model)
    assert "BatchNormalization" in operators(prepared)
    assert_same_outputs(model, prepared)


def test_refuses_a_bias_that_differs_by_row():
    net = Net()
    y = net.node("Gemm", ["x", net.normal("w", 5, 6), net.normal("b", 2, 6)], "gemm")
    net.norm(y, "y", 6)
    assert operators(prepare(net.model({"x": [2, 5]}, {"y": [2, 6]}))) == ["Gemm", "BatchNormalization"]


def test_refuses_computed_parameters():
    net = Net()
    y = net.node("Conv", ["x", net.normal("w", 4, 4, 3)], "conv")
    parameters = [net.normal(name, 4) for name in ("beta", "mean")] + [
        net.constant("var", np.ones(4, np.float32))
    ]
    net.node("BatchNormalization", [y, "gamma", *parameters], "y")
    model = net.model({"x": ["b", 4, "t"], "gamma": (TensorProto.FLOAT, [4])}, {"y": ["b", 4, "u"]})
    assert operators(prepare(model)) == ["Conv", "BatchNormalization"]
