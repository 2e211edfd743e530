"""The precision that a network holds, and the form in which a library is given it."""

import warnings
from pathlib import Path

import numpy as np
import onnx.parser
import pytest

from tests.engine.networks import PROFILE, conv_net, with_half_weights
from tests.graph.networks import run
from trtforge.engine import BuildConfig, build, network_precision
from trtforge.engine.precision import agreed_precision, network_to_build
from trtforge.errors import ConfigError
from trtforge.model import load_model
from trtforge.nvidia.selection import flavor_for

RECOGNISER = Path(__file__).parents[2] / "examples/models/asr_en/asr_en.onnx"
V8 = flavor_for("tensorrt", "8.6.0")


@pytest.mark.parametrize(
    ("flavor", "version", "typed", "otherwise"),
    [
        ("tensorrt", "8.6.0", False, {"convolutions": "2-D"}),
        ("tensorrt", "10.16.1", False, {}),
        ("tensorrt", "11.4.0", True, {}),
        ("tensorrt_rtx", "1.7.1", True, {}),
    ],
)
def test_only_strongly_typed_libraries_need_the_network_typed(flavor, version, typed, otherwise):
    model, chosen = conv_net(), flavor_for(flavor, version)
    assert agreed_precision(model, "float16", chosen) == "float16"
    given, rewritten = network_to_build(model, "float16", chosen)
    assert rewritten == ({"typed": "float16"} if typed else otherwise)
    assert network_precision(given) == ("float16" if typed else "float32")
    assert network_to_build(model, "float32", chosen)[1] == otherwise
    half = conv_net("float16")
    assert network_to_build(half, "float16", chosen)[1] == otherwise


@pytest.mark.parametrize(("version", "rewritten"), [("8.6.0", {"convolutions": "2-D"}), ("10.16.1", {})])
@pytest.mark.parametrize(("quantized", "precision"), [(True, "int8"), (False, "float32"), (False, "float16")])
def test_only_tensorrt_8_is_given_convolutions_in_2d(version, rewritten, quantized, precision):
    model, chosen = conv_net(quantized=quantized), flavor_for("tensorrt", version)
    given, found = network_to_build(model, precision, chosen)
    assert found == rewritten
    assert (given is not model) == bool(rewritten)


@pytest.mark.parametrize(
    ("flavor", "version", "precision", "rewritten"),
    [
        ("tensorrt", "8.6.0", "float16", {"products": "float16"}),
        ("tensorrt", "10.16.1", "float16", {"products": "float16"}),
        ("tensorrt", "8.6.0", "float32", {}),
        ("tensorrt", "11.4.0", "float16", {"typed": "float16"}),
    ],
)
def test_products_of_fp16_tensors_are_in_fp16_where_a_flag_allows_it(flavor, version, precision, rewritten):
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        main (float16[b, s, 8] keys, float[b, 8, n] query) => (float[b, s, n] y) {
          wide = Cast <to = 1> (keys) y = MatMul (wide, query) }
    """)
    chosen = flavor_for(flavor, version)
    given, found = network_to_build(model, precision, chosen)
    assert found == rewritten
    assert agreed_precision(model, precision, chosen) == precision
    if "products" in rewritten:
        assert given.graph.node[1].input[0] == "keys"


def test_fp16_scales_are_refused_by_a_library_that_takes_none():
    model, chosen = conv_net("float16", quantized=True, opset=19), flavor_for("tensorrt", "8.6.0")
    with pytest.raises(
        ConfigError, match=r"tensorrt 8.6.0 takes quantizers with FP32 scales alone"
    ) as caught:
        network_to_build(model, "int8", chosen)
    assert caught.value.hint == 'quantize with rest="float32", trtforge quantize --rest float32'
    assert network_to_build(model, "int8", flavor_for("tensorrt", "10.16.1"))[0] is model


@pytest.mark.parametrize(
    ("chosen", "warns"),
    [
        (flavor_for("tensorrt", "10.16.1"), False),
        (flavor_for("tensorrt", "10.16.1").strongly_typed(), True),
        (flavor_for("tensorrt_rtx", "1.7.1"), True),
    ],
    ids=["10", "10 strongly typed", "rtx"],
)
def test_fp32_between_quantizers_is_told_where_the_library_runs_it_so(chosen, warns):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        network_to_build(conv_net("float16", quantized=True, opset=19), "int8", chosen)
        network_to_build(conv_net(), "float32", chosen)
    assert not caught
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        network_to_build(conv_net(quantized=True), "int8", chosen)
    said = f'is FP32, and {chosen} runs it so, which takes time: quantize with rest="float16"'
    assert [said in str(warning.message) for warning in caught] == [True] * warns


@pytest.mark.parametrize(
    "library", [("tensorrt", "8.6.0"), ("tensorrt", "10.16.1"), ("tensorrt_rtx", "1.7.1")]
)
@pytest.mark.parametrize("is_listed", [False, True], ids=["weights", "weights listed as inputs"])
def test_weights_that_a_cast_makes_are_computed(library, is_listed):
    model = with_half_weights(conv_net(), is_listed=is_listed)
    given, rewritten = network_to_build(model, "float32", flavor_for(*library))
    assert rewritten.pop("constants") == "computed"
    assert rewritten == ({"convolutions": "2-D"} if library[1] == "8.6.0" else {})
    assert "Cast" not in {node.op_type for node in given.graph.node}
    assert not any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in given.graph.initializer)
    assert [value.name for value in given.graph.input] == ["mel"]
    mel = {"mel": np.random.default_rng(0).standard_normal((2, 4, 32), np.float32)}
    before, after = (run(network, mel)["logits"] for network in (model, given))
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


def test_the_bundled_recognisers_convolutions_get_weights_and_a_height():
    model = load_model(RECOGNISER)
    given, rewritten = network_to_build(model, "float16", flavor_for("tensorrt", "8.6.0"))
    assert rewritten == {"constants": "computed", "convolutions": "2-D"}
    weights = [node.input[1] for node in given.graph.node if node.op_type == "Conv"]
    sizes = {tensor.name: len(tensor.dims) for tensor in given.graph.initializer}
    assert len(weights) == 19
    assert {sizes[name] for name in weights} == {4}


def test_convolutions_stay_where_scales_go_by_the_names_of_the_parser():
    model = conv_net()
    assert network_to_build(model, "int8", flavor_for("tensorrt", "8.6.0")) == (model, {})


def test_a_networks_own_precision():
    assert network_precision(conv_net()) == "float32"
    assert network_precision(conv_net("float16")) == "float16"
    assert network_precision(conv_net(quantized=True)) == "int8"


@pytest.mark.parametrize(
    ("signature", "nodes", "held"),
    [
        ("(float16[n, 4] x) => (float16[n, 4] y)", "y = Relu(x)", "float16"),
        ("(bfloat16[n, 4] x) => (bfloat16[n, 4] y)", "y = Relu(x)", "bfloat16"),
        (
            "(float[n, 4] x) => (float[n, 4] y)",
            "h = Cast<to = 10>(x) r = Relu(h) y = Cast<to = 1>(r)",
            "float16",
        ),
        (
            "(float[n, 4] x) => (float[n, 4] y)",
            "h = Cast<to = 10>(x) f = Cast<to = 1>(h) y = Relu(f)",
            "float32",
        ),
        ("(float16[n, 4, 4] x) => (float16[n, 4, 4] y)", "a = Exp(x) y = MatMul(a, a)", "float16"),
        ("(float[n, 4, 4] x) => (float[n, 4, 4] y)", "a = Exp(x) y = MatMul(a, a)", "float32"),
        ("(int64[n] x) => (int64[n] y)", "y = Neg(x)", "float32"),
    ],
)
def test_where_no_operator_has_weights_what_operators_write_tells(signature, nodes, held):
    graph = f"g {signature} {{ {nodes} }}"
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 19]> {graph}')
    assert network_precision(model) == held
    assert agreed_precision(model, None, V8) == held


@pytest.mark.parametrize(
    ("flavor", "quantized", "dtype", "asked", "message"),
    [
        (
            "tensorrt_rtx",
            False,
            "float32",
            "int8",
            "'float32'; .* can only lower float32 to float16 or bfloat16\n.*quantize the network first, by",
        ),
        ("tensorrt_rtx", True, "float32", "float16", "holds 'int8'; .*\n.*before it was quantized"),
        ("tensorrt_rtx", True, "float32", "float32", "holds 'int8'; .*\n.*before it was quantized"),
        ("tensorrt", False, "float32", "int8", "tensorrt 8.6.0 can only lower float32 to float16"),
        ("tensorrt", False, "float16", "float32", "holds 'float16'"),
    ],
)
def test_a_precision_that_the_network_cannot_give_is_refused(flavor, quantized, dtype, asked, message):
    chosen = {"tensorrt": V8, "tensorrt_rtx": flavor_for("tensorrt_rtx", "1.7.1.116")}[flavor]
    with pytest.raises(ConfigError, match=message):
        build(
            conv_net(dtype, quantized=quantized),
            profiles=[PROFILE],
            config=BuildConfig(precision=asked),
            flavor=chosen,
        )


@pytest.mark.parametrize("first", ["INT4", "INT8"])
def test_the_narrowest_weights_name_a_network_in_whatever_order(first):
    def stored(name, dtype):
        element = getattr(onnx.TensorProto, dtype)
        return onnx.helper.make_tensor(name, element, [4, 4], [1] * 16)

    kinds = [first, "INT8" if first == "INT4" else "INT4"]
    nodes = [onnx.helper.make_node("DequantizeLinear", [kind, "scale"], [f"{kind}_w"]) for kind in kinds]
    nodes += [
        onnx.helper.make_node("MatMul", ["x", f"{kinds[0]}_w"], ["h"]),
        onnx.helper.make_node("MatMul", ["h", f"{kinds[1]}_w"], ["y"]),
    ]
    shape = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "two_kinds",
        [shape("x", onnx.TensorProto.FLOAT, [2, 4])],
        [shape("y", onnx.TensorProto.FLOAT, [2, 4])],
        [
            stored("INT4", "INT4"),
            stored("INT8", "INT8"),
            onnx.numpy_helper.from_array(np.float32(0.5), "scale"),
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
    assert network_precision(model) == "int4_weight_only"
