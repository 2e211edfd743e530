"""Weights in blocks of INT8 and INT4: rounding, packing, which products, and what libraries take."""

import numpy as np
import onnx
import pytest

import trtforge
from benchmarks.networks.decoder_step import DecoderShape, decoder_step
from tests.graph.networks import Net, build_rtx, check, feed, run, snr_db, transformer_block
from trtforge.engine import BuildConfig
from trtforge.errors import ConfigError, QuantizationError
from trtforge.graph import describe, lint, prepare, quantize_weights_only
from trtforge.graph.weight_blocks import quantize_blocks
from trtforge.graph.weight_only import plan_weights
from trtforge.profiles import OptimizationProfile


def test_blocks_by_hand():
    weight = np.array([[7.0], [-3.0], [0.5], [0.0]], np.float32)
    blocks = quantize_blocks(weight, 0, 2, bits=4)
    # 7 and -3 are exact with a scale of 1; so are 0.5 and 0 with one of 0.5 / 7.
    np.testing.assert_allclose(blocks.scale[0], [1.0], rtol=1e-6)
    np.testing.assert_allclose(blocks.dequantized(), weight, atol=1e-6)
    assert (blocks.values.min(), blocks.values.max()) == (-3, 7)


def test_the_scale_of_a_block_is_the_one_of_least_error():
    weight = np.random.default_rng(0).normal(size=(128, 32)).astype(np.float32)
    blocks = quantize_blocks(weight, 0, 32, bits=4)
    amax = np.abs(weight.reshape(4, 32, 32)).max(axis=1)
    plain = np.repeat(amax / 7, 32, axis=0)
    rounded = np.clip(np.rint(weight / plain), -8, 7) * plain
    assert snr_db(weight, blocks.dequantized()) > snr_db(weight, rounded) + 0.4
    assert (blocks.scale <= amax / 7 * 1.001).all()


@pytest.mark.parametrize("shape", [(32, 3), (16, 1)])
def test_two_int4_lie_in_a_byte_as_onnx_reads_them(shape):
    weight = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    blocks = quantize_blocks(weight, 0, 16, bits=4)
    read = onnx.numpy_helper.to_array(blocks.tensor("w")).astype(np.int8)
    np.testing.assert_array_equal(read, blocks.values)


def make_gemm():
    net = Net(3)
    y = net.node("Gemm", ["x", net.normal("w1", 96, 64), net.normal("b1", 96)], "h", transB=1)
    net.node("Gemm", [net.node("Relu", [y], "r"), net.normal("w2", 96, 32, std=0.1)], "y")
    return net.model({"x": ["b", 64]}, {"y": ["b", 32]})


def make_wide_block():
    return transformer_block(width=64)


# Least output SNR in dB.
NETWORKS = {make_gemm: {"int8": 40.0, "int4": 18.0}, make_wide_block: {"int8": 40.0, "int4": 20.0}}


@pytest.mark.parametrize("rest", ["float16", "float32"])
@pytest.mark.parametrize("dtype", ["int8", "int4"])
@pytest.mark.parametrize("make", NETWORKS)
def test_close_to_float32_in_onnx_runtime_and_builds(make, dtype, rest):
    model = prepare(make())
    result = quantize_weights_only(model, dtype, block_size=32, rest=rest)
    check(result)
    assert lint(result) == ()
    assert {layer.weight_dtype for layer in describe(result).layers if layer.num_parameters} == {dtype}
    arrays = feed(model)
    assert snr_db(run(model, arrays)["y"], run(result, arrays)["y"]) > NETWORKS[make][dtype]
    assert build_rtx(result) > 10_000


def test_int4_is_for_compute_capability_8_0_and_above():
    pytest.importorskip("tensorrt_rtx")
    result = quantize_weights_only(prepare(make_gemm()), "int4", block_size=32)

    def build_for(*capabilities):
        return trtforge.build(
            result,
            profiles=[OptimizationProfile({"x": ((1, 64), (4, 64), (8, 64))})],
            config=BuildConfig(compute_capabilities=capabilities),
            flavor="tensorrt_rtx",
        )

    assert build_for("8.0", "8.9").manifest.precision == "int4_weight_only"
    with pytest.raises(ConfigError, match=r"needs compute capability 8.0 or above, .* run on 7.5"):
        build_for("7.5")


def test_every_product_of_a_decoder_step_is_stored_narrow():
    model = prepare(decoder_step(DecoderShape(num_layers=1, width=64, num_heads=2, vocabulary=128)))
    result = quantize_weights_only(model, "int4", block_size=64)
    stored = [layer.weight_dtype for layer in describe(result).layers]
    assert stored.count("int4") == 9
    narrow = sum(
        tensor.ByteSize() for tensor in result.graph.initializer if tensor.data_type == onnx.TensorProto.INT4
    )
    wide = sum(t.ByteSize() for t in model.graph.initializer if t.name.endswith("weight") or t.name == "head")
    assert narrow < 0.13 * wide


def test_what_blocks_do_not_divide_is_left_alone_with_the_reason():
    plan = plan_weights(prepare(make_gemm()), 64, exclude=[])
    assert plan.weights == {"w1": 1}
    assert plan.left_alone == {"y": "it is 96 deep, which blocks of 64 do not divide"}
    assert plan_weights(prepare(make_gemm()), 32, exclude=["h"]).left_alone == {"h": "excluded"}


def test_a_weight_of_one_block_is_left_alone_since_tensorrt_rtx_does_not_read_it():
    net = Net()
    hidden = net.node("MatMul", ["x", net.constant("wide", np.ones((64, 64), np.float32))], "h")
    net.node("MatMul", [hidden, net.constant("narrow", np.ones((64, 1), np.float32))], "y")
    model = net.model({"x": ["b", 64]}, {"y": ["b", 1]})
    assert plan_weights(model, 64).left_alone == {
        "y": "its weight is one block, which TensorRT-RTX does not read"
    }
    assert plan_weights(model, 32).weights == {"wide": 0, "narrow": 0}
    assert build_rtx(quantize_weights_only(model, "int8", block_size=64)) > 10_000


@pytest.mark.parametrize("arguments", [{"dtype": "int2"}, {"block_size": 48}, {"rest": "bfloat16"}])
def test_other_types_and_blocks_are_refused(arguments):
    with pytest.raises(QuantizationError, match="weights are stored as 'int8' or 'int4' in blocks of 16, 32"):
        quantize_weights_only(prepare(make_gemm()), **arguments)


def test_nothing_to_store_says_why():
    net = Net()
    net.node("MatMul", ["x", "z"], "y")
    model = net.model({"x": ["b", 16], "z": [16, 16]}, {"y": ["b", 16]})
    with pytest.raises(QuantizationError, match="to store narrow: y: it multiplies two activations"):
        quantize_weights_only(model)


def test_a_step_that_blocks_do_not_divide_is_an_error():
    with pytest.raises(
        QuantizationError, match=r"blocks of 16 do not divide axis 0 of a weight of shape \[24, 2\]"
    ):
        quantize_blocks(np.zeros((24, 2)), 0, 16, bits=8)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_products_of_other_types_than_float32_are_left_alone(dtype):
    net = Net()
    net.node("MatMul", ["x", net.constant("w", np.ones((64, 32), dtype))], "y")
    elem_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    model = net.model({"x": (elem_type, ["b", 64])}, {"y": (elem_type, ["b", 32])})
    with pytest.raises(QuantizationError, match="to store narrow: y: its input is not float32"):
        quantize_weights_only(model, rest="float32")


def test_a_weight_that_is_not_finite_is_named():
    net = Net()
    net.node("MatMul", ["x", net.constant("w", np.full((64, 2), np.inf, np.float32))], "y")
    with pytest.raises(
        QuantizationError, match="weight 'w': 128 of 128 values are NaN or infinite"
    ) as caught:
        quantize_weights_only(net.model({"x": ["b", 64]}, {"y": ["b", 2]}))
    assert caught.value.settings == ("exclude",)
