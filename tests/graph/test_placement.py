import numpy as np
import onnx
import onnx.parser
import pytest

from tests.graph.networks import Net, image_net, quartznet, transformer_block
from trtforge.errors import QuantizationError
from trtforge.graph import describe, plan_placement, prepare, tensors_to_observe


def test_quartznet_inputs_and_skips():
    model = prepare(quartznet(blocks=1))
    plan = plan_placement(model)
    assert [(item.op_type, item.activations, item.axis) for item in plan.placements] == [
        ("Conv", ("mel",), 0),
        ("Conv", ("stem.relu",), 0),
        ("Conv", ("b0.first.relu",), 0),
        ("Add", ("stem.relu",), None),
        ("Conv", ("b0.relu",), 0),
    ]
    assert plan.left_alone == {}
    assert tensors_to_observe(model) == ("mel", "stem.relu", "b0.first.relu", "b0.relu")


def test_image_net_axes_shared_scales_and_the_earlier_branch_as_skip():
    plan = plan_placement(prepare(image_net()))
    axes = {item.node: item.axis for item in plan.placements if item.weight}
    assert axes == {"stem": 0, "depthwise": 0, "mix": 0, "project": 0, "up": 1, "scores": 0}
    assert plan.shared == (("joined", "stem.relu"),)
    assert [item.activations for item in plan.placements if item.op_type == "Add"] == [("mix.norm",)]


def test_transformer_residuals_norms_and_attention_stay_in_floating_point():
    plan = plan_placement(prepare(transformer_block()))
    assert plan.tensors == ("norm1", "context.m", "norm2", "gelu")
    assert {item.op_type for item in plan.placements} == {"MatMul"}
    assert plan.left_alone == {
        "scores.raw": "it multiplies two activations, as attention does",
        "context": "it multiplies two activations, as attention does",
        "residual1": "its stream is normalised: the residuals of transformers stay in floating point",
        "y": "its stream is normalised: the residuals of transformers stay in floating point",
    }


def test_products_of_two_activations_are_quantized_where_asked():
    plan = plan_placement(prepare(transformer_block()), attention="int8")
    products = {item.node: item for item in plan.placements if item.weight is None}
    assert {name: item.activations for name, item in products.items()} == {
        "scores.raw": ("q.heads", "k.heads"),
        "context": ("attention", "v.heads"),
    }
    assert {item.axis for item in products.values()} == {None}
    assert "context" not in plan.left_alone


def test_a_convolution_before_a_normalised_stream_leaves_the_stream_alone():
    net = Net()
    y = net.node("Add", ["x", net.conv("x", "conv", (16, 16, 3))], "stream")
    scale = [net.constant("g", np.ones(16, np.float32)), net.constant("b", np.zeros(16, np.float32))]
    y = net.node("InstanceNormalization", [y, *scale], "normed")
    net.conv(net.node("Add", ["stream", y], "again"), "z", (16, 16, 3))
    plan = plan_placement(net.model({"x": ["b", 16, "t"]}, {"z": ["b", 16, "t"]}))
    assert plan.tensors == ("x", "again")


def test_an_add_that_no_quantized_layer_reads_is_left_alone():
    net = Net()
    net.node("Add", ["x", net.conv("x", "conv", (16, 16, 3))], "y")
    plan = plan_placement(net.model({"x": ["b", 16, "t"]}, {"y": ["b", 16, "t"]}))
    assert [item.op_type for item in plan.placements] == ["Conv"]


@pytest.mark.parametrize(
    ("shape", "rows", "reason"),
    [
        ((15, 32), "t", "the product is 15 deep and 32 wide"),
        ((32, 1), "t", "the product is 32 deep and 1 wide"),
        ((32, 32), 1, "the product has one row"),
    ],
)
def test_small_products_are_left_alone(shape, rows, reason):
    net = Net()
    net.node("MatMul", ["x", net.normal("w", *shape)], "y")
    plan = plan_placement(net.model({"x": [rows, shape[0]]}, {"y": [rows, shape[1]]}))
    assert plan.placements == ()
    assert plan.left_alone["y"].startswith(reason)


@pytest.mark.parametrize(("trans_b", "axis"), [(0, 1), (1, 0)])
def test_gemm_axis_follows_the_transposition(trans_b, axis):
    net = Net()
    net.node("Gemm", ["x", net.normal("w", 32, 32)], "y", transB=trans_b)
    (item,) = plan_placement(net.model({"x": ["b", 32]}, {"y": ["b", 32]})).placements
    assert item.axis == axis


def test_a_gemm_with_a_factor_is_left_alone():
    net = Net()
    net.node("Gemm", ["x", net.normal("w", 32, 32)], "y", alpha=0.5)
    plan = plan_placement(net.model({"x": ["b", 32]}, {"y": ["b", 32]}))
    assert plan.left_alone["y"].startswith("alpha is not 1")


@pytest.mark.parametrize(
    ("keep", "dropped"),
    [
        ("none", set()),
        ("first", {"stem.conv"}),
        ("last", {"classifier"}),
        ("first_last", {"stem.conv", "classifier"}),
    ],
)
def test_keep_float_leaves_the_ends(keep, dropped):
    model = prepare(quartznet())
    plan = plan_placement(model, keep_float=keep)
    every = {item.node for item in plan_placement(model).placements}
    # The last addition no longer ends in INT8, so its skip input need not be.
    follows = {"b1.add"} if "classifier" in dropped else set()
    assert every - {item.node for item in plan.placements} == dropped | follows
    assert set(plan.left_alone) == dropped


def test_exclude_by_name_output_and_pattern():
    model = prepare(quartznet())
    plan = plan_placement(model, exclude=["classifier", "b0.second.norm", "b1.*"])
    assert [item.node for item in plan.placements] == ["stem.conv", "b0.first.conv"]
    assert plan.left_alone == dict.fromkeys(
        ["b0.second.conv", "b1.first.conv", "b1.second.conv", "classifier"], "excluded"
    )


def test_an_exclusion_that_matches_nothing_is_an_error():
    with pytest.raises(
        QuantizationError, match=r"exclude names 'clasifier', which matches none of the 14 nodes"
    ):
        plan_placement(prepare(quartznet()), exclude=["clasifier"])
    with pytest.raises(QuantizationError, match=r"exclude takes a list of names, got the string 'b0\.'"):
        plan_placement(prepare(quartznet()), exclude="b0.")


def test_an_unknown_end_is_an_error():
    with pytest.raises(
        QuantizationError, match="keep_float must be 'none', 'first', 'last' or 'first_last', got 'both'"
    ):
        plan_placement(quartznet(), keep_float="both")
    with pytest.raises(QuantizationError, match="attention must be 'float' or 'int8', got 'int4'"):
        plan_placement(quartznet(), attention="int4")


def test_weights_behind_a_cast_ask_for_preparing():
    plan = plan_placement(quartznet())
    assert plan.left_alone["stem.conv"] == "its weight is computed"


def test_a_name_with_brackets_names_its_node_and_is_no_pattern():
    net = Net()
    net.node("MatMul", ["x", net.normal("w", 32, 32)], "blocks[0].fc")
    net.node("MatMul", ["blocks[0].fc", "w"], "blocks0.fc")
    model = net.model({"x": ["b", 32]}, {"blocks0.fc": ["b", 32]})
    assert plan_placement(model, exclude=["blocks[0].fc"]).left_alone == {"blocks[0].fc": "excluded"}
    # Where no node is called so, brackets are a choice of characters, as in a shell.
    assert plan_placement(model, exclude=["blocks[01].fc"]).left_alone == {"blocks0.fc": "excluded"}


def nested(*, function=False):
    call = (
        "b = local.twice (x)"
        if function
        else """b = If (c) <
        then_branch = g1 () => (float[4, 32] p) { o = MatMul (x, w) p = MatMul (o, w) },
        else_branch = g2 () => (float[4, 32] q) { q = Identity (x) }
    >"""
    )
    functions = """<domain: "local", opset_import: ["" : 17]> twice (x) => (y) { y = Add (x, x) }"""
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        net (float[4, 32] x, bool c) => (float[4, 32] y) {{ {call} y = MatMul (b, w) }}
        {functions if function else ""}"""
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((32, 32), np.float32), "w"))
    return model


def test_layers_inside_nested_graphs_and_functions_are_left_alone_with_a_reason():
    inside = "2 of its nodes multiply, and nothing inside a nested graph is quantized"
    assert plan_placement(nested()).left_alone == {"b.then_branch": inside}
    assert describe(nested()).nested_layers == {"b.then_branch": 2}
    assert plan_placement(nested(function=True)).left_alone["b"] == (
        "twice is a function; onnx.inliner makes nodes of it"
    )
    assert describe(nested(function=True)).nested_layers == {}
