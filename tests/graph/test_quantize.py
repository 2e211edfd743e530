from collections import Counter

import numpy as np
import pytest

from tests.graph.networks import (
    Net,
    build_rtx,
    check,
    feed,
    image_net,
    max_scales,
    quartznet,
    run,
    snr_db,
    transformer_block,
)
from trtforge.errors import QuantizationError, ScalesError
from trtforge.graph import describe, kept_float32, prepare, quantize_graph, tensors_to_observe
from trtforge.graph.index import GraphIndex
from trtforge.scales import Scales, TensorScale

RESTS = ["float16", "float32"]


def make_gemm():
    net = Net(3)
    y = net.node(
        "Relu", [net.node("Gemm", ["x", net.normal("w1", 64, 32), net.normal("b1", 64)], "h", transB=1)], "r"
    )
    net.node("Gemm", [y, net.normal("w2", 64, 24, std=0.125)], "y")
    return net.model({"x": ["b", 32]}, {"y": ["b", 24]})


def make_deconvolution():
    net = Net(4)
    y = net.node("ConvTranspose", ["x", net.normal("w1", 16, 8, 4)], "up", strides=[2], pads=[1, 1], group=2)
    y = net.node("Relu", [y], "r")
    net.node("ConvTranspose", [y, net.normal("w2", 16, 24, 3)], "y")
    return net.model({"x": ["b", 16, "t"]}, {"y": ["b", 24, "u"]})


def make_carried():
    """One tensor that is pooled, read in another layout, and joined with what another layer made."""
    net = Net(5)
    x = net.node("Relu", [net.conv("x", "stem", (16, 16, 3))], "r")
    pooled = net.node("MaxPool", [x], "pooled", kernel_shape=[3], pads=[1, 1])
    rows = net.node("Transpose", [x], "rows", perm=[0, 2, 1])
    product = net.node("MatMul", [rows, net.normal("w", 16, 16, std=0.25)], "product")
    joined = net.node("Concat", [x, net.conv(pooled, "second", (16, 16, 3))], "joined", axis=1)
    y = net.conv(joined, "third", (16, 32, 1))
    net.node("Add", [y, net.node("Transpose", [product], "columns", perm=[0, 2, 1])], "y")
    return net.model({"x": ["b", 16, "t"]}, {"y": ["b", 16, "t"]})


# Least output SNR in dB with scales from the largest magnitude; each network reaches 2 dB or more above it.
NETWORKS = {
    quartznet: 30.0,
    image_net: 42.0,
    transformer_block: 36.0,
    make_gemm: 36.0,
    make_deconvolution: 36.0,
    make_carried: 36.0,
}


def quantized(make, rest, **options):
    model = prepare(make())
    return model, quantize_graph(model, max_scales(model, tensors_to_observe(model)), rest=rest, **options)


@pytest.mark.parametrize("rest", RESTS)
@pytest.mark.parametrize("make", NETWORKS)
def test_close_to_float32_in_onnx_runtime(make, rest):
    model, result = quantized(make, rest)
    check(result)
    arrays = feed(model)
    expected, got = run(model, arrays), run(result, arrays)
    for name in expected:
        assert got[name].dtype == np.float32
        assert snr_db(expected[name], got[name]) > NETWORKS[make]


@pytest.mark.parametrize("rest", RESTS)
@pytest.mark.parametrize("make", NETWORKS)
def test_builds_with_tensorrt_rtx(make, rest):
    assert build_rtx(quantized(make, rest)[1]) > 10_000


def test_one_quantizer_for_a_tensor_with_several_readers():
    _, result = quantized(quartznet, "float16")
    index = GraphIndex(result.graph)
    assert [node.op_type for node in index.readers("stem.relu")] == ["QuantizeLinear"]
    readers = index.readers("stem.relu_dequantized")
    assert [(node.op_type, node.output[0]) for node in readers] == [
        ("Conv", "b0.first.norm"),
        ("Add", "b0.add"),
    ]


def test_every_quantizer_follows_what_fuses_and_nothing_stands_between():
    _, result = quantized(quartznet, "float16")
    index = GraphIndex(result.graph)
    before = [index.producer(node.input[0]) for node in index.nodes if node.op_type == "QuantizeLinear"]
    assert Counter(node.op_type for node in before) == {"Relu": 5, "Cast": 1}
    after = [reader for node in before if node.op_type == "Relu" for reader in index.readers(node.output[0])]
    assert {node.op_type for node in after} == {"QuantizeLinear"}


def test_float16_stores_int8_weights_and_half_scales():
    model, result = quantized(quartznet, "float16")
    index = GraphIndex(result.graph)
    assert describe(result).opset == 19
    assert index.constant("b0.first.wide_quantized").dtype == np.int8
    assert index.constant("b0.first.wide_scale").dtype == np.float16
    assert index.constant("stem.relu_scale").dtype == np.float16
    assert index.constant("stem.relu_zero_point").tolist() == 0
    assert "b0.first.wide" not in index.initializers
    assert result.ByteSize() < 0.4 * model.ByteSize()


def test_float32_keeps_float_weights_before_their_quantizer_and_the_opset():
    model, result = quantized(quartznet, "float32")
    index = GraphIndex(result.graph)
    assert describe(result).opset == 17
    assert index.constant("b0.first.wide").dtype == np.float32
    assert [node.op_type for node in index.readers("b0.first.wide")] == ["QuantizeLinear"]
    assert describe(model).counts == {"float32": 6}
    assert describe(result).counts == {"int8": 6}


def test_scales_and_int8_values_by_hand():
    net = Net()
    weight = np.zeros((16, 16), np.float32)
    weight[0, 0], weight[1, 1] = 2.54, -0.127
    net.node("MatMul", ["x", net.constant("w", weight)], "y")
    model = net.model({"x": ["b", 16]}, {"y": ["b", 16]})
    result = quantize_graph(model, scales_of({"x": 12.7}), rest="float32")
    index = GraphIndex(result.graph)
    np.testing.assert_allclose(index.constant("x_scale"), 0.1, rtol=1e-6)
    np.testing.assert_allclose(index.constant("w_scale")[:2], [0.02, 0.001], rtol=1e-6)
    x = np.zeros((1, 16), np.float32)
    x[0, :2] = 20.0, 1.04
    # 20 clips at 12.7, 1.04 rounds to 1.0
    np.testing.assert_allclose(run(result, {"x": x})["y"][0, :3], [12.7 * 2.54, -0.127, 0.0], rtol=1e-5)


def test_concat_inputs_get_the_largest_scale_of_their_group():
    model = prepare(image_net())
    names = tensors_to_observe(model)
    amax = dict.fromkeys(names, 4.0) | {"stem.relu": 2.0, "joined": 12.7}
    index = GraphIndex(quantize_graph(model, scales_of(amax), rest="float32").graph)
    np.testing.assert_allclose(index.constant("stem.relu_scale"), 0.1, rtol=1e-6)
    np.testing.assert_allclose(index.constant("joined_scale"), 0.1, rtol=1e-6)
    np.testing.assert_allclose(index.constant("flat_scale"), 4 / 127, rtol=1e-6)


def test_a_carried_scale_is_the_same_wherever_it_is_read():
    model = prepare(make_carried())
    names = tensors_to_observe(model)
    assert names == ("x", "rows", "pooled", "joined")
    amax = dict.fromkeys(names, 4.0) | {"pooled": 12.7, "joined": 2.0}
    index = GraphIndex(quantize_graph(model, scales_of(amax), rest="float32").graph)
    for name in ("pooled", "rows", "joined"):
        np.testing.assert_allclose(index.constant(f"{name}_scale"), 0.1, rtol=1e-6)
    np.testing.assert_allclose(index.constant("x_scale"), 4 / 127, rtol=1e-6)


@pytest.mark.parametrize("rest", RESTS)
def test_quantized_attention_runs_and_builds(rest):
    model = prepare(transformer_block())
    scales = max_scales(model, tensors_to_observe(model, attention="int8"))
    result = quantize_graph(model, scales, rest=rest, attention="int8")
    assert describe(result).counts == {"int8": 8}
    arrays = feed(model)
    assert snr_db(run(model, arrays)["y"], run(result, arrays)["y"]) > 34.0
    assert build_rtx(result) > 10_000


def test_what_a_softmax_makes_keeps_its_whole_range():
    model = prepare(transformer_block())
    names = tensors_to_observe(model, attention="int8")
    entries = {name: TensorScale(amax=0.1, observed_max=0.9) for name in names}
    scales = Scales(entries, "entropy", "0" * 64, "0" * 64, 1)
    index = GraphIndex(quantize_graph(model, scales, rest="float32", attention="int8").graph)
    np.testing.assert_allclose(index.constant("attention_scale"), 0.9 / 127, rtol=1e-6)
    np.testing.assert_allclose(index.constant("q.heads_scale"), 0.1 / 127, rtol=1e-6)


def test_scales_calibrated_without_attention_do_not_serve_attention():
    model = prepare(transformer_block())
    with pytest.raises(
        ScalesError, match=r"no scale for 4 of 8 tensors to be quantized: 'q.heads', "
    ) as caught:
        quantize_graph(model, max_scales(model, tensors_to_observe(model)), attention="int8")
    assert caught.value.settings == ("exclude", "attention")


def test_all_zero_and_tiny_channels_survive_half_precision():
    net = Net()
    weight = net.rng.normal(size=(16, 16, 1)).astype(np.float32)
    weight[0], weight[1] = 0.0, weight[1] * 1e-5
    net.node("Conv", ["x", net.constant("w", weight)], "y")
    model = net.model({"x": ["b", 16, "t"]}, {"y": ["b", 16, "t"]})
    result = quantize_graph(model, max_scales(model, ["x"]))
    index = GraphIndex(result.graph)
    assert (index.constant("w_scale") > 0).all()
    assert not index.constant("w_quantized")[0].any()
    arrays = feed(model)
    expected, got = run(model, arrays)["y"], run(result, arrays)["y"]
    assert not got[:, 0].any()
    assert snr_db(expected[:, 1], got[:, 1]) > 25.0
    assert snr_db(expected, got) > 36.0


def test_options_reach_placement_and_precision():
    _, result = quantized(
        quartznet, "float16", keep_float="last", exclude=["stem.conv"], keep_float32=["classifier"]
    )
    assert {
        layer.name: layer.precision for layer in describe(result).layers if layer.precision != "int8"
    } == {
        "stem.conv": "float16",
        "classifier": "float32",
    }


@pytest.mark.parametrize(("rest", "opset"), [("float32", 13), ("float16", 19)])
def test_a_low_opset_is_raised(rest, opset):
    net = Net()
    net.conv(net.node("Relu", ["x"], "r"), "y", (16, 16, 3))
    model = net.model({"x": ["b", 16, "t"]}, {"y": ["b", 16, "t"]}, opset=11, ir_version=6)
    result = quantize_graph(model, max_scales(model, ["r"]), rest=rest)
    assert describe(result).opset == opset
    assert {entry.key: entry.value for entry in result.metadata_props} == {"purpose": "test"}
    arrays = feed(model)
    assert snr_db(run(model, arrays)["y"], run(result, arrays)["y"]) > 36.0


def test_the_given_model_is_not_changed():
    model = prepare(quartznet())
    before = model.SerializeToString()
    quantize_graph(model, max_scales(model, tensors_to_observe(model)))
    assert model.SerializeToString() == before


def test_a_missing_scale_is_named():
    with pytest.raises(ScalesError, match=r"no scale for 5 of 6 tensors to be quantized: 'stem.relu', "):
        quantize_graph(prepare(quartznet()), scales_of({"mel": 1.0}))


def test_quantizing_twice_is_an_error():
    _, result = quantized(quartznet, "float16")
    with pytest.raises(
        QuantizationError, match="the network is quantized already: 'mel_quantized' is a QuantizeLinear"
    ):
        quantize_graph(result, scales_of({"mel": 1.0}))


def test_nothing_to_quantize_says_why():
    net = Net()
    net.node("MatMul", ["x", "z"], "y")
    model = net.model({"x": ["b", 16], "z": [16, 16]}, {"y": ["b", 16]})
    with pytest.raises(QuantizationError, match="no layer to quantize: y: it multiplies two activations"):
        quantize_graph(model, scales_of({"x": 1.0}))


def test_an_unknown_rest_is_an_error():
    with pytest.raises(QuantizationError, match="rest must be"):
        quantize_graph(quartznet(), scales_of({"x": 1.0}), rest="bfloat16")


def test_a_weight_that_is_not_finite_is_named():
    net = Net()
    net.node("Conv", ["x", net.constant("w", np.full((16, 16, 1), np.inf, np.float32))], "y")
    with pytest.raises(QuantizationError, match="weight 'w': 256 of 256 values are NaN or infinite"):
        quantize_graph(net.model({"x": ["b", 16, "t"]}, {"y": ["b", 16, "t"]}), scales_of({"x": 1.0}))


def scales_of(amax):
    tensors = {name: TensorScale(amax=value, observed_max=value) for name, value in amax.items()}
    return Scales(tensors, method="max", model_sha256="0" * 64, feeds_sha256="0" * 64, num_clips=1)


def test_what_its_own_scales_show_to_overflow_stays_in_float32():
    net = Net()
    net.node("MatMul", ["x", net.normal("w", 32, 32, std=0.2)], "loud")
    net.node("MatMul", ["loud", net.normal("v", 32, 32, std=1e-4)], "y")
    model = net.model({"x": ["b", 32]}, {"y": ["b", 32]})
    found = {"x": TensorScale(3.0, 3.0), "loud": TensorScale(2e4, 4e4)}
    scales = Scales(found, "entropy", "0" * 64, "0" * 64, 1)
    kept = kept_float32(quantize_graph(model, scales))
    said = "'loud' reaches 4e+04, which leaves less than a factor of 2 to FP16's end, 65504"
    assert kept["loud"] == kept["loud_quantized"] == said
    assert "y" in kept
    found["loud"] = TensorScale(2e4, 3e4)
    assert kept_float32(quantize_graph(model, Scales(found, "entropy", "0" * 64, "0" * 64, 1))) == {}


def test_scales_that_half_precision_raises_are_counted():
    net = Net()
    weight = net.rng.uniform(0.5, 1, (32, 32)).astype(np.float32)
    # Largest magnitudes of 127 steps of 3e-8, half the smallest number of FP16, of 1e-3 and of none.
    weight[:, 0] = 127 * 2.0**-25
    weight[:, 1] = 1e-3 * 127
    weight[:, 2] = 0
    net.node("MatMul", ["x", net.constant("w", weight)], "y")
    model = net.model({"x": ["b", 32]}, {"y": ["b", 32]})
    scales = max_scales(model, ("x",))
    raised = describe(quantize_graph(model, scales)).raised_scales
    assert raised == {
        "w": "1 of 32 scales are larger than wanted, up to 2 times, as FP16 has no finer ones, "
        "and none below 6e-8"
    }
    assert describe(quantize_graph(model, scales, rest="float32")).raised_scales == {}
