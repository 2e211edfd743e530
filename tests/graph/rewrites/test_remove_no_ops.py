import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.parser import parse_model

from tests.graph.networks import Net, assert_same_outputs
from trtforge.calibration.shape_inference import ShapeInference
from trtforge.graph import prepare

F = np.float32


def operators(model):
    return [node.op_type for node in model.graph.node]


def between_relus(op, *constants, first=True, rank=3, **attributes):
    """Relu, the node, Relu: three operators before, two after if the node is a no-op."""
    net = Net()
    x = net.node("Relu", ["x"], "before")
    others = [net.constant(f"c{i}", value) if value is not None else "" for i, value in enumerate(constants)]
    y = net.node(op, [x, *others] if first else [*others, x], "middle", **attributes)
    net.node("Relu", [y], "y")
    return net.model({"x": ["b", 3, "t"]}, {"y": [f"axis{i}" for i in range(rank)]})


NO_OPS = {
    "identity": ("Identity",),
    "dropout": ("Dropout", F(0.5)),
    "dropout, flag off": ("Dropout", F(0.5), np.bool_(False)),
    "mul by one": ("Mul", F(1)),
    "mul by ones of one channel each": ("Mul", np.ones((3, 1), F)),
    "div by one": ("Div", F(1)),
    "add zero": ("Add", np.zeros(1, F)),
    "sub zero": ("Sub", F(0)),
    "pow one": ("Pow", F(1)),
    "pad by nothing": ("Pad", np.zeros(6, np.int64)),
    "reshape that copies": ("Reshape", np.array([0, 0, -1])),
}
NO_OP_ATTRIBUTES = {
    "cast to the same": ("Cast", {"to": TensorProto.FLOAT}),
    "transpose in order": ("Transpose", {"perm": [0, 1, 2]}),
    "concat of one": ("Concat", {"axis": 1}),
    "sum of one": ("Sum", {}),
}
REAL_OPS = {
    "mul by two": ("Mul", F(2)),
    "add one": ("Add", F(1)),
    "pad by one": ("Pad", np.array([0, 0, 1, 0, 0, 0])),
    "dropout in training": ("Dropout", F(0.0), np.bool_(True)),
}


@pytest.mark.parametrize("name", NO_OPS)
def test_no_op_goes(name):
    model = between_relus(*NO_OPS[name])
    prepared = prepare(model)
    assert operators(prepared) == ["Relu", "Relu"]
    assert [node.output[0] for node in prepared.graph.node] == ["before", "y"]
    assert_same_outputs(model, prepared, rtol=0, atol=0)


@pytest.mark.parametrize("name", NO_OP_ATTRIBUTES)
def test_no_op_by_attribute_goes(name):
    op, attributes = NO_OP_ATTRIBUTES[name]
    assert operators(prepare(between_relus(op, **attributes))) == ["Relu", "Relu"]


@pytest.mark.parametrize("name", REAL_OPS)
def test_real_work_stays(name):
    model = between_relus(*REAL_OPS[name])
    assert operators(prepare(model)) == operators(model)


def test_a_change_of_rank_stays():
    broadened = between_relus("Mul", np.ones((1, 1, 1, 1), F), rank=4)
    assert operators(prepare(broadened)) == ["Relu", "Mul", "Relu"]
    merged = between_relus("Reshape", np.array([0, -1]), rank=2)
    assert operators(prepare(merged)) == ["Relu", "Reshape", "Relu"]


def test_one_divided_stays_and_one_multiplied_goes():
    assert operators(prepare(between_relus("Div", F(1), first=False))) == ["Relu", "Div", "Relu"]
    assert operators(prepare(between_relus("Mul", F(1), first=False))) == ["Relu", "Relu"]


def test_the_output_keeps_its_name_and_the_inner_tensor_gives_way():
    net = Net()
    x = net.node("Relu", ["x"], "inner")
    net.node("Identity", [x], "y")
    net.node("Neg", [x], "z")
    model = net.model({"x": ["b", 3]}, {"y": ["b", 3], "z": ["b", 3]})
    prepared = prepare(model)
    assert [(node.op_type, *node.input, *node.output) for node in prepared.graph.node] == [
        ("Relu", "x", "y"),
        ("Neg", "y", "z"),
    ]
    assert_same_outputs(model, prepared, rtol=0, atol=0)


def test_what_links_input_to_output_or_output_to_output_stays():
    net = Net()
    net.node("Identity", ["x"], "y")
    net.node("Relu", ["x"], "z")
    net.node("Identity", ["z"], "w")
    model = net.model({"x": ["b", 3]}, {name: ["b", 3] for name in "yzw"})
    prepared = prepare(model)
    assert operators(prepared) == ["Identity", "Relu", "Identity"]
    assert_same_outputs(model, prepared, rtol=0, atol=0)


def test_what_a_nested_graph_reads_stays():
    net = Net()
    net.node("Relu", ["x"], "made")
    net.node("Identity", ["made"], "seen")
    float_type = helper.make_tensor_value_info("out", TensorProto.FLOAT, [3])
    branches = [
        helper.make_graph([helper.make_node(op, ["seen"], ["out"])], op, [], [float_type])
        for op in ("Neg", "Abs")
    ]
    net.node("If", ["flag"], "y", then_branch=branches[0], else_branch=branches[1])
    model = net.model({"x": [3], "flag": (TensorProto.BOOL, [])}, {"y": [3]})
    assert operators(prepare(model)) == ["Relu", "Identity", "If"]


@pytest.mark.parametrize("opset", [13, 14])
def test_a_shape_that_was_read_and_given_back_is_known(opset):
    model = parse_model(
        f"""<ir_version: 7, opset_import: ["" : {opset}]>
        net (float[b, 3, t] x) => (float[b, 3, t] y)
        <int64[3] flat = {{0, 1, -1}}, float[3, 1] ones = {{1, 1, 1}}> {{
            sizes = Shape (x)
            long = Reshape (x, flat)
            normal = Softmax (long)
            back = Reshape (normal, sizes)
            same = Mul (back, ones)
            y = Relu (same)
        }}"""
    )
    prepared = prepare(model)
    assert operators(prepared) == ["Shape", "Reshape", "Softmax", "Reshape", "Relu"]
    assert prepared.opset_import[0].version == opset
    assert ShapeInference(model).shapes({"x": (2, 3, 5)})["back"] == (2, 3, 5)
