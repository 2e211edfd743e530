import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.graph.networks import Net, assert_same_outputs, check
from trtforge.graph.rewrites import hoist_constants
from trtforge.model import copy_model


def test_numbers_and_tensors_become_initializers_of_their_name():
    net = Net()
    half = numpy_helper.from_array(np.array([[2.0, 3.0]], np.float32))
    for name, attribute in (
        ("one", {"value_float": 1.0}),
        ("shape", {"value_ints": [-1, 2]}),
        ("factor", {"value": half}),
        ("given", {"value_float": 4.0}),
    ):
        net.nodes.append(helper.make_node("Constant", [], [name], **attribute))
    net.node("Mul", [net.node("Reshape", [net.node("Add", ["x", "one"], "a"), "shape"], "b"), "factor"], "y")
    model = net.model({"x": ["n", 4]}, {"y": ["m", 2], "given": []})
    hoisted = copy_model(model)
    assert hoist_constants(hoisted) == 3
    check(hoisted)
    # The graph output stays a node's.
    assert [node.op_type for node in hoisted.graph.node] == ["Constant", "Add", "Reshape", "Mul"]
    assert {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in hoisted.graph.initializer} == {
        "one": (TensorProto.FLOAT, []),
        "shape": (TensorProto.INT64, [2]),
        "factor": (TensorProto.FLOAT, [1, 2]),
    }
    assert_same_outputs(model, hoisted, atol=0)
    assert hoist_constants(hoisted) == 0
