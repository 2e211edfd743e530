import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.graph.networks import Net, assert_same_outputs, check, feed, max_scales, run
from trtforge.errors import QuantizationError
from trtforge.graph import describe, prepare, quantize_graph, tensors_to_observe
from trtforge.graph.opset import opset_of, raise_opset


def copy(model):
    other = type(model)()
    other.CopyFrom(model)
    return other


def test_reductions_and_split_are_rewritten():
    net = Net()
    net.node("ReduceMean", ["x"], "mean", axes=[2], keepdims=0)
    net.nodes.append(helper.make_node("Split", ["x"], ["a", "b"], axis=1))
    model = net.model(
        {"x": ["n", 4, "t"]}, {"mean": ["n", 4], "a": ["n", 2, "t"], "b": ["n", 2, "t"]}, opset=13
    )
    raised = raise_opset(copy(model), 19)
    check(raised)
    assert opset_of(raised) == 19
    assert raised.ir_version >= 9
    assert list(raised.graph.node[0].input) == ["x", "mean_axes"]
    assert_same_outputs(model, raised, rtol=0, atol=0)


def test_a_later_opset_is_left_alone():
    net = Net()
    net.node("Relu", ["x"], "y")
    model = net.model({"x": ["b", 4]}, {"y": ["b", 4]}, opset=17)
    assert raise_opset(model, 13) is model
    assert opset_of(model) == 17


def test_older_networks_go_through_the_converter():
    net = Net()
    net.node("Softmax", ["x"], "y", axis=1)
    model = net.model({"x": ["b", 4, 3]}, {"y": ["b", 4, 3]}, opset=11, ir_version=6)
    raised = raise_opset(copy(model), 19)
    assert opset_of(raised) == 19
    arrays = feed(model)
    # Until opset 12 softmax ran over all axes from the given one on.
    np.testing.assert_allclose(run(raised, arrays)["y"].sum((1, 2)), [1, 1], rtol=1e-5)
    assert_same_outputs(model, raised)


def test_tensors_keep_the_names_that_scales_have():
    net = Net()
    scale = net.constant("twice", np.array([1, 1, 2, 2], np.float32))
    x = net.conv("x", "first", (16, 4, 3, 3))
    for name in ("up", "up.again"):
        x = net.node("Upsample", [x, scale], name, mode="nearest")
    net.conv(net.conv(x, "second", (8, 16, 3, 3)), "y", (4, 8, 1, 1))
    model = prepare(net.model({"x": [1, 4, 5, 5]}, {"y": [1, 4, 20, 20]}, opset=9, ir_version=4))
    raised = raise_opset(copy(model), 19)
    made = [name for node in raised.graph.node for name in node.output]
    assert set(made) >= {"first", "up", "up.again", "second", "y"}
    assert_same_outputs(model, raised)
    quantized = quantize_graph(model, max_scales(model, tensors_to_observe(model)))
    check(quantized)
    assert describe(quantized).counts == {"int8": 3}


def test_an_operator_that_cannot_be_carried_over_is_an_error():
    net = Net()
    net.nodes.append(helper.make_node("Upsample", ["x", net.constant("s", np.ones(4, np.float32))], ["y"]))
    graph = helper.make_graph(
        net.nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 2, 2])],
        net.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 7)], ir_version=6)
    with pytest.raises(QuantizationError, match="the network uses opset 7, 19 is needed"):
        raise_opset(model, 19)
