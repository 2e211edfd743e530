from collections import Counter

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.graph.networks import (
    Net,
    assert_same_outputs,
    build_rtx,
    check,
    feed,
    image_net,
    prepare_and_scale,
    quartznet,
    run,
    run_exactly,
    snr_db,
    transformer_block,
)
from trtforge.errors import QuantizationError
from trtforge.graph import (
    describe,
    kept_float32,
    prepare,
    quantize_graph,
    to_bfloat16,
    to_float16,
    to_float16_around_quantizers,
    widen_bfloat16,
    widen_float16,
)
from trtforge.graph.float16_range import Peak
from trtforge.graph.index import GraphIndex
from trtforge.graph.tensor_types import infer_types


def precision_of(model):
    """Dtype of every node's first output, by that output's name."""
    types = infer_types(model)
    kinds = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16"}
    return {node.output[0]: kinds.get(types[node.output[0]].elem_type) for node in model.graph.node}


@pytest.mark.parametrize("make", [quartznet, image_net, transformer_block])
def test_close_to_float32_and_builds(make):
    model = prepare(make())
    before = model.SerializeToString()
    half = to_float16(model)
    check(half)
    assert model.SerializeToString() == before
    arrays = feed(model)
    expected, got = run(model, arrays), run(half, arrays)
    for name in expected:
        assert got[name].dtype == np.float32
        assert snr_db(expected[name], got[name]) > 55.0
        assert snr_db(expected[name], run_exactly(half, arrays)[name]) > 50.0
    assert set(describe(half).counts) == {"float16"}
    assert build_rtx(half) > 10_000


def test_convolutions_are_cast_at_the_ends_alone():
    half = to_float16(prepare(quartznet()))
    assert Counter(node.op_type for node in half.graph.node)["Cast"] == 2
    assert precision_of(half)["logits"] == "float32"
    assert GraphIndex(half.graph).constant("b0.first.wide").dtype == np.float16


def test_inputs_and_outputs_follow_where_asked():
    model = prepare(quartznet())
    half = to_float16(model, keep_io=False)
    check(half)
    assert [spec.dtype for spec in describe(half).inputs + describe(half).outputs] == ["float16", "float16"]
    assert "Cast" not in {node.op_type for node in half.graph.node}
    arrays = feed(model)
    got = run(half, {"mel": arrays["mel"].astype(np.float16)})["logits"]
    assert snr_db(run(model, arrays)["logits"], got) > 50.0


def test_softmax_and_normalisation_stay_float32_and_gelu_does_not():
    kinds = precision_of(to_float16(transformer_block()))
    assert {kinds[name] for name in ("norm1", "norm2", "attention")} == {"float32"}
    assert {kinds[name] for name in ("q", "scores.raw", "context", "gelu.erf", "residual1")} == {"float16"}


def test_one_cast_serves_all_readers():
    half = to_float16(transformer_block())
    casts = [(node.input[0], node.attribute[0].i) for node in half.graph.node if node.op_type == "Cast"]
    assert len(casts) == len(set(casts))


def test_a_decomposed_layer_norm_keeps_its_epsilon():
    net = Net()
    mean = net.node("ReduceMean", ["x"], "mean", axes=[-1])
    centred = net.node("Sub", ["x", mean], "centred")
    square = net.node("Pow", [centred, net.constant("two", np.float32(2))], "square")
    variance = net.node("ReduceMean", [square], "variance", axes=[-1])
    padded = net.node("Add", [variance, net.constant("epsilon", np.float32(1e-12))], "padded")
    net.node("Div", [centred, net.node("Sqrt", [padded], "deviation")], "y")
    model = net.model({"x": ["b", "t", 32]}, {"y": ["b", "t", 32]})
    half = to_float16(model)
    check(half)
    kinds = precision_of(half)
    assert {kinds[name] for name in ("square", "variance", "padded", "deviation")} == {"float32"}
    # Squares of 300 and more overflow FP16.
    x = 400.0 * feed(model)["x"]
    assert snr_db(run(model, {"x": x})["y"], run_exactly(half, {"x": x})["y"]) > 50.0
    # What a cast of everything would give.
    with np.errstate(over="ignore"):
        assert not np.isfinite(np.square(x.astype(np.float16))).all()


def test_constants_that_half_precision_cannot_hold_keep_their_node_in_float32():
    net = Net()
    x = net.node("Mul", ["x", net.constant("huge", np.float32(1e5))], "large")
    x = net.node("Mul", [x, net.constant("tiny", np.float32(1e-9))], "small")
    x = net.node("Mul", [x, net.constant("back", np.float32(1e4))], "fitting")
    net.node("Relu", [x], "y")
    model = net.model({"x": ["b", 4]}, {"y": ["b", 4]})
    half = to_float16(model)
    kinds = precision_of(half)
    assert (kinds["large"], kinds["small"], kinds["fitting"]) == ("float32", "float32", "float16")
    arrays = feed(model)
    assert snr_db(run(model, arrays)["y"], run_exactly(half, arrays)["y"]) > 55.0


def test_an_attention_mask_does_not_become_infinite():
    net = Net()
    masked = net.node("Where", ["mask", "x", net.constant("lowest", np.float32(-3.4e38))], "masked")
    net.node("Softmax", [masked], "y", axis=-1)
    model = net.model({"x": ["b", 4], "mask": (TensorProto.BOOL, ["b", 4])}, {"y": ["b", 4]})
    half = to_float16(model)
    got = run(half, {"x": np.zeros((1, 4), np.float32), "mask": np.zeros((1, 4), bool)})["y"]
    np.testing.assert_allclose(got, np.full((1, 4), 0.25))


@pytest.mark.parametrize("convert", [to_float16, to_bfloat16])
@pytest.mark.parametrize("way", ["chosen", "multiplied"])
def test_rows_masked_throughout_have_a_softmax_where_the_mask_is_added(convert, way):
    net = Net()
    lowest = net.constant("lowest", np.float32(np.finfo(np.float32).min))
    if way == "chosen":
        mask = net.node("Where", ["keep", net.constant("zero", np.float32(0)), lowest], "mask")
    else:
        kept = net.node("Cast", ["keep"], "kept", to=TensorProto.FLOAT)
        mask = net.node(
            "Mul", [net.node("Sub", [net.constant("one", np.float32(1)), kept], "left"), lowest], "mask"
        )
    scores = net.node("MatMul", ["x", net.constant("w", np.eye(4, dtype=np.float32))], "scores")
    net.node("Softmax", [net.node("Add", [scores, mask], "masked")], "y", axis=-1)
    model = net.model({"x": ["b", 4], "keep": (TensorProto.BOOL, ["b", 4])}, {"y": ["b", 4]})
    typed = convert(model)
    kinds = precision_of(typed)
    assert (kinds["masked"], kinds["scores"] != "float32") == ("float32", True)
    arrays = {"x": np.ones((1, 4), np.float32), "keep": np.zeros((1, 4), bool)}
    rounded = widen_float16(widen_bfloat16(typed))
    np.testing.assert_allclose(run(rounded, arrays)["y"], np.full((1, 4), 0.25))


def test_arithmetic_before_a_cast_to_integers_stays_float32():
    net = Net()
    scores = net.node("MatMul", ["x", net.constant("w", np.eye(2, dtype=np.float32))], "scores")
    steps = net.node("Div", [scores, net.constant("width", np.float32(3))], "bucket")
    whole = net.node(
        "Cast",
        [net.node("Add", [steps, net.constant("half", np.float32(0.5))], "raised")],
        "whole",
        to=TensorProto.INT64,
    )
    net.node("Identity", [whole], "y")
    model = net.model({"x": ["b", 2]}, {"y": (TensorProto.INT64, ["b", 2])})
    half = to_float16(model)
    kinds = precision_of(half)
    assert (kinds["scores"], kinds["bucket"], kinds["raised"]) == ("float16", "float32", "float32")
    # 1543 / 3 + 0.5 is 514.83, and in steps of 0.5, which FP16 has there, 515.
    assert run_exactly(half, {"x": np.array([[1543, 3]], np.float32)})["y"].tolist() == [[514, 1]]
    assert kept_float32(half)["raised"] == "it is on the way to integers, which FP16 would change"


def test_lengths_that_are_sums_stay_exact():
    net = Net()
    kept = net.node("Cast", ["keep"], "kept", to=TensorProto.FLOAT)
    total = net.node("ReduceSum", [kept, net.constant("axes", np.array([1]))], "total", keepdims=0)
    net.node("Cast", [total], "y", to=TensorProto.INT64)
    model = net.model({"keep": (TensorProto.BOOL, ["b", "t"])}, {"y": (TensorProto.INT64, ["b"])})
    half = to_float16(model)
    assert run_exactly(half, {"keep": np.ones((1, 2049), bool)})["y"].tolist() == [2049]


def test_lengths_keep_their_integer_precision():
    net = Net()
    seconds = net.node("Cast", ["lengths"], "frames", to=TensorProto.FLOAT)
    y = net.node("Div", [seconds, net.constant("stride", np.float32(2))], "steps")
    net.node(
        "Add", [net.node("Cast", [y], "whole", to=TensorProto.INT64), net.constant("one", np.array(1))], "y"
    )
    model = net.model({"lengths": (TensorProto.INT64, ["b"])}, {"y": (TensorProto.INT64, ["b"])})
    lengths = np.array([4098, 70002])
    assert run(to_float16(model), {"lengths": lengths})["y"].tolist() == [2050, 35002]


def test_quantizer_scales_become_half_and_the_opset_follows():
    net = Net()
    net.constant("scale", np.float32(0.01))
    net.constant("zero", np.int8(0))
    q = net.node("QuantizeLinear", ["x", "scale", "zero"], "q")
    net.node("Relu", [net.node("DequantizeLinear", [q, "scale", "zero"], "d")], "y")
    half = to_float16(net.model({"x": ["b", 4]}, {"y": ["b", 4]}, opset=13))
    check(half)
    assert describe(half).opset == 19
    assert GraphIndex(half.graph).constant("scale").dtype == np.float16
    assert precision_of(half)["d"] == "float16"


def test_a_quantizer_whose_scale_would_vanish_stays_float32():
    net = Net()
    net.constant("scale", np.array([0.01, 1e-9], np.float32))
    net.constant("zero", np.zeros(2, np.int8))
    q = net.node("QuantizeLinear", ["x", "scale", "zero"], "q", axis=1)
    net.node("DequantizeLinear", [q, "scale", "zero"], "y", axis=1)
    half = to_float16(net.model({"x": ["b", 2]}, {"y": ["b", 2]}))
    assert GraphIndex(half.graph).constant("scale").dtype == np.float32


def test_resize_keeps_its_scales():
    net = Net()
    scales = net.constant("scales", np.array([1, 1, 2], np.float32))
    net.node("Relu", [net.node("Resize", ["x", "", scales], "big")], "y")
    model = net.model({"x": ["b", 4, "t"]}, {"y": ["b", 4, "u"]})
    half = to_float16(model)
    check(half)
    assert precision_of(half)["big"] == "float16"
    assert GraphIndex(half.graph).constant("scales").dtype == np.float32
    arrays = feed(model)
    np.testing.assert_allclose(run(half, arrays)["y"], run(model, arrays)["y"], rtol=1e-3)


def test_nested_graphs_read_float32():
    net = Net()
    net.node("Mul", ["x", net.constant("c", np.float32(3))], "made")
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [3])
    branches = [
        helper.make_graph([helper.make_node(op, ["made"], ["out"])], op, [], [out]) for op in ("Neg", "Abs")
    ]
    net.node("If", ["flag"], "picked", then_branch=branches[0], else_branch=branches[1])
    net.node("Relu", ["picked"], "y")
    model = net.model({"x": [3], "flag": (TensorProto.BOOL, [])}, {"y": [3]})
    half = to_float16(model)
    check(half)
    kinds = precision_of(half)
    assert (kinds["made"], kinds["picked"], kinds["y"]) == ("float32", "float32", "float32")
    x = np.array([-1, 2, 3], np.float32)
    assert run(half, {"x": x, "flag": np.array(False)})["y"].tolist() == [3, 6, 9]


def test_one_constant_in_both_precisions_is_stored_twice():
    net = Net()
    net.constant("c", np.array([0.5, 2.0], np.float32))
    net.node("Mul", ["x", "c"], "y")
    net.node("Pow", ["x", "c"], "z")
    half = to_float16(net.model({"x": ["b", 2]}, {"y": ["b", 2], "z": ["b", 2]}))
    index = GraphIndex(half.graph)
    assert {name: index.constant(name).dtype.name for name in index.initializers} == {
        "c": "float32",
        "c_float16": "float16",
    }


def test_runs_where_onnx_runtime_would_crash_in_a_fusion():
    net = Net()
    gamma = net.constant("gamma", np.ones(8, np.float32))
    y = net.node("LayerNormalization", [net.node("Transpose", ["x"], "t", perm=[0, 2, 1]), gamma], "norm")
    y = net.node("Transpose", [y], "back", perm=[1, 0, 2])
    net.node("MatMul", [y, net.normal("w", 8, 8)], "y")
    model = net.model({"x": ["b", 8, "t"]}, {"y": ["t", "b", 8]})
    arrays = feed(model)
    assert snr_db(run(model, arrays)["y"], run(to_float16(model), arrays)["y"]) > 55.0


def test_keep_float32_by_pattern():
    half = to_float16(prepare(quartznet()), keep_float32=["b1.*"])
    assert {layer.name for layer in describe(half).layers if layer.precision == "float32"} == {
        "b1.first.conv",
        "b1.second.conv",
    }
    assert Counter(node.op_type for node in half.graph.node)["Cast"] == 4


def test_a_pattern_that_matches_nothing_is_an_error():
    with pytest.raises(
        QuantizationError, match="keep_float32 names 'nothing', which matches none of the 14 nodes"
    ):
        to_float16(prepare(quartznet()), keep_float32=["nothing"])


def test_a_tensor_of_unknown_dtype_is_named():
    net = Net()
    net.nodes.append(helper.make_node("Mystery", ["x"], ["made"], domain="example"))
    net.node("Relu", ["made"], "y")
    graph = helper.make_graph(
        net.nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("example", 1)]
    with pytest.raises(
        QuantizationError, match="the dtype of tensor 'made', which Mystery makes, is not known"
    ):
        to_float16(helper.make_model(graph, opset_imports=opsets))


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000, '"x"', "{}"])
def test_notes_that_a_stranger_wrote_into_a_network_are_taken_for_none(text):
    model = quartznet()
    model.metadata_props.add(key="trtforge.float32", value=text)
    assert kept_float32(model) == {}
    assert describe(model).float32_nodes == {}


def test_typing_again_renews_the_notes():
    once = to_float16(transformer_block())
    assert set(kept_float32(once)) == {"norm1", "norm2", "attention"}
    again = to_float16(once, keep_float32=["norm1"])
    assert [item.key for item in again.metadata_props].count("trtforge.float32") == 1
    assert {item.key for item in again.metadata_props} == {"purpose", "trtforge.float32"}


def test_a_weight_that_half_precision_would_spoil_keeps_its_product_in_float32():
    net = Net()
    net.node("MatMul", ["x", net.normal("w", 32, 32, std=1e-6)], "y")
    model = net.model({"x": ["b", 32]}, {"y": ["b", 32]})
    typed = to_float16(model)
    assert kept_float32(typed) == {"y": "FP16 cannot hold its constant 'w'"}
    assert_same_outputs(model, typed, atol=0)


def test_constants_of_nodes_are_judged_and_typed_as_others():
    net = Net()
    net.nodes.append(helper.make_node("Constant", [], ["tiny"], value_float=1e-9))
    net.nodes.append(
        helper.make_node("Constant", [], ["half"], value=numpy_helper.from_array(np.float32(0.5)))
    )
    net.node("Mul", [net.node("Add", ["x", "tiny"], "sum"), "half"], "product")
    net.node("MatMul", ["product", net.normal("w", 32, 32)], "y")
    typed = to_float16(net.model({"x": ["b", 32]}, {"y": ["b", 32]}))
    check(typed)
    assert kept_float32(typed) == {"sum": "FP16 cannot hold its constant 'tiny'"}
    stored = {tensor.name: tensor.data_type for tensor in typed.graph.initializer}
    assert stored == {"tiny": TensorProto.FLOAT, "half": TensorProto.FLOAT16, "w": TensorProto.FLOAT16}
    assert [node.op_type for node in typed.graph.node] == ["Add", "Cast", "Mul", "MatMul", "Cast"]


def parsed(text, **constants):
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> net {text}')
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return model


SQUARE = np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32) / 6


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (
            """(float[4, 32] x) => (float[8, 32] y) {
                a = MatMul (x, w)
                e = SequenceEmpty <dtype = 1> ()
                s = SequenceInsert (e, a)
                t = SequenceInsert (s, a)
                y = ConcatFromSequence <axis = 0> (t)
            }""",
            {"s", "t", "y"},
        ),
        (
            """(float[4, 32] x) => (float[4, 32] y, seq(float[4, 32]) s) {
                y = MatMul (x, w)
                s = SequenceConstruct (y, y)
            }""",
            {"s"},
        ),
    ],
)
def test_sequences_stay_float32(text, kept):
    model = parsed(text, w=SQUARE)
    typed = to_float16(model)
    check(typed)
    assert kept_float32(typed).keys() == kept
    assert set(kept_float32(typed).values()) <= {
        f"{name} is about a sequence or an optional, which stays in FP32"
        for name in ("SequenceInsert", "SequenceConstruct", "ConcatFromSequence")
    }
    assert [node.op_type for node in typed.graph.node].count("MatMul") == 1
    assert_same_outputs(parsed(text, w=SQUARE), typed, atol=0.02) if "seq(" not in text else None


def test_new_names_are_none_of_a_nested_graph():
    model = parsed(
        """(float[4, 32] x, bool c) => (float[4, 32] y) {
            a = MatMul (x, w)
            b = If (c) <
                then_branch = g1 () => (float[4, 32] p) { x_float16 = Neg (x) p = MatMul (x_float16, w) },
                else_branch = g2 () => (float[4, 32] q) { q = Identity (x) }
            >
            y = Add (a, b)
        }""",
        w=SQUARE,
    )
    typed = to_float16(model)
    check(typed)
    assert "x_float16_1" in {name for node in typed.graph.node for name in node.output}


def test_layers_without_a_name_keep_what_they_are_known_by():
    text = "(float[4, 32] x) => (float[4, 32] y) { a = MatMul (x, w) y = MatMul (a, w) }"
    for options in ({}, {"keep_io": False, "keep_float32": ["y"]}):
        typed = to_float16(parsed(text, w=SQUARE), **options)
        assert [layer.name for layer in describe(typed).layers] == ["a", "y"]
    assert kept_float32(typed) == {"y": "asked for"}


def test_group_normalization_is_typed_though_onnx_infers_nothing_of_it():
    net = Net()
    x = net.conv("x", "first", (16, 8, 3))
    ones = net.constant("ones", np.ones(16, np.float32))
    x = net.node("GroupNormalization", [x, ones, net.normal("shift", 16)], "norm", num_groups=4)
    net.conv(net.node("Relu", [x], "relu"), "y", (16, 16, 3))
    model = net.model({"x": ["n", 8, "t"]}, {"y": ["n", 16, "t"]}, opset=21, ir_version=10)
    assert infer_types(model)["relu"] == infer_types(model)["first"]
    half = to_float16(prepare(model))
    check(half)
    assert kept_float32(half) == {"norm": "GroupNormalization is computed in FP32"}
    assert describe(half).counts == {"float16": 2}
    arrays = feed(model)
    assert snr_db(run(model, arrays)["y"], run(half, arrays)["y"]) > 55.0
    assert build_rtx(half) > 1000


@pytest.mark.parametrize("make", [quartznet, image_net, transformer_block])
def test_around_quantizers_the_rest_becomes_float16(make):
    model, scales = prepare_and_scale(make)
    quantized = quantize_graph(model, scales, rest="float32")
    typed = to_float16_around_quantizers(quantized)
    check(typed)
    assert typed.opset_import[0].version == quantized.opset_import[0].version < 19
    assert describe(typed).counts["int8"] == describe(quantized).counts["int8"]
    assert "float32" not in describe(typed).counts
    index = GraphIndex(typed.graph)
    for node in typed.graph.node:
        if node.op_type == "DequantizeLinear":  # no cast parts it from its layer
            assert "Cast" not in {reader.op_type for reader in index.readers(node.output[0])}
    arrays = feed(model)
    expected, got = run(quantized, arrays), run(typed, arrays)
    for name in expected:
        assert got[name].dtype == np.float32
        assert snr_db(expected[name], got[name]) > 30.0
    assert build_rtx(typed) > 10_000


def test_around_quantizers_biases_are_float32_and_what_follows_float16():
    model, scales = prepare_and_scale(transformer_block)
    typed = to_float16_around_quantizers(quantize_graph(model, scales, rest="float32"))
    kinds = precision_of(typed)
    assert {kinds[name] for name in ("q", "norm1", "attention")} == {"float32"}
    assert {kinds[name] for name in ("scores.raw", "context", "gelu.erf", "residual1")} == {"float16"}


def test_around_quantizers_tensors_that_overflow_stay_float32():
    model, scales = prepare_and_scale(transformer_block)
    quantized = quantize_graph(model, scales, rest="float32")
    typed = to_float16_around_quantizers(quantized, magnitudes={"context": Peak(1e6)})
    assert precision_of(typed)["context"] == "float32"
