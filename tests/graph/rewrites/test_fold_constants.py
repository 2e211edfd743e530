import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.graph.networks import Net, assert_same_outputs
from trtforge.errors import ModelError
from trtforge.graph import prepare
from trtforge.graph.index import GraphIndex


def operators(model):
    return [node.op_type for node in model.graph.node]


def test_half_precision_weights_behind_a_cast_become_float32():
    net = Net()
    stored = net.constant("w16", np.array([[[0.5, -2.0]]], np.float16))
    wide = net.node("Cast", [stored], "w", to=TensorProto.FLOAT)
    net.node("Conv", ["x", wide], "y")
    prepared = prepare(net.model({"x": ["b", 1, "t"]}, {"y": ["b", 1, "u"]}))
    weight = GraphIndex(prepared.graph).constant("w")
    assert operators(prepared) == ["Conv"]
    assert weight.dtype == np.float32
    assert weight.ravel().tolist() == [0.5, -2.0]
    assert [tensor.name for tensor in prepared.graph.initializer] == ["w"]


def test_a_chain_of_layout_changes_and_arithmetic():
    net = Net()
    w = net.node("Transpose", [net.normal("w0", 6, 4)], "w1", perm=[1, 0])
    w = net.node("Mul", [w, net.constant("two", np.float32(2))], "w2")
    w = net.node("Reshape", [w, net.constant("shape", np.array([4, 2, 3]))], "w3")
    w = net.node("Unsqueeze", [w, net.constant("axis", np.array([0]))], "w4")
    w = net.node("Squeeze", [w, "axis"], "w5")
    net.node("Conv", ["x", w], "y")
    model = net.model({"x": ["b", 2, "t"]}, {"y": ["b", 4, "u"]})
    prepared = prepare(model)
    assert operators(prepared) == ["Conv"]
    assert_same_outputs(model, prepared)


def test_constant_nodes_and_the_shape_of_a_fixed_tensor():
    net = Net()
    net.nodes.append(helper.make_node("Constant", [], ["minus"], value_ints=[-1]))
    shape = net.node("Slice", [net.node("Shape", ["x"], "shape"), *_range(net, 1, 2)], "channels")
    net.node("Reshape", ["x", net.node("Concat", ["minus", shape], "target", axis=0)], "y")
    model = net.model({"x": [2, 3, 5]}, {"y": [10, 3]})
    prepared = prepare(model)
    assert operators(prepared) == ["Reshape"]
    assert GraphIndex(prepared.graph).constant("target").tolist() == [-1, 3]
    assert_same_outputs(model, prepared)


def test_the_shape_of_a_dynamic_tensor_stays():
    net = Net()
    net.node("Reshape", ["x", net.node("Shape", ["z"], "shape")], "y")
    model = net.model({"x": ["b", 3], "z": ["c", 3]}, {"y": ["c", 3]})
    assert operators(prepare(model)) == ["Shape", "Reshape"]


def test_growth_is_refused():
    net = Net()
    big = net.node("Expand", [net.normal("one", 1), net.constant("shape", np.array([1 << 20]))], "big")
    net.node("Add", ["x", big], "y")
    assert operators(prepare(net.model({"x": [1 << 20]}, {"y": [1 << 20]}))) == ["Expand", "Add"]


def test_quantizers_stay():
    net = Net()
    net.constant("scale", np.float32(0.1))
    net.constant("zero", np.int8(0))
    w = net.node("QuantizeLinear", [net.normal("w", 4, 4, 3), "scale", "zero"], "q")
    net.node("Conv", ["x", net.node("DequantizeLinear", [w, "scale", "zero"], "dq")], "y")
    model = net.model({"x": ["b", 4, "t"]}, {"y": ["b", 4, "u"]})
    assert operators(prepare(model)) == ["QuantizeLinear", "DequantizeLinear", "Conv"]


def test_a_pad_that_cuts_stays():
    net = Net()
    cut = net.node("Pad", [net.normal("w", 3), net.constant("pads", np.array([-1, 1]))], "cut")
    net.node("Add", ["x", cut], "y")
    model = net.model({"x": ["b", 3]}, {"y": ["b", 3]})
    prepared = prepare(model)
    assert operators(prepared) == ["Pad", "Add"]
    assert_same_outputs(model, prepared)


def test_a_constant_that_cannot_be_computed_is_named():
    net = Net()
    bad = net.node("Reshape", [net.normal("w", 5), net.constant("shape", np.array([2, 3]))], "bad")
    net.node("Add", ["x", bad], "y")
    graph = helper.make_graph(
        net.nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])],
        net.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    assert isinstance(model, onnx.ModelProto)
    with pytest.raises(ModelError, match=r"constant 'bad' \(Reshape\) cannot be computed"):
        prepare(model)


def _range(net, begin, end):
    return [net.constant("begin", np.array([begin])), net.constant("end", np.array([end]))]
