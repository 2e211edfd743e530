"""FP8: rounding against ONNX's own, and products quantized so."""

import numpy as np
import onnx
import pytest

import trtforge
from tests.graph.networks import (
    build_rtx,
    feed,
    max_scales,
    prepare_and_scale,
    quartznet,
    run,
    snr_db,
    transformer_block,
)
from trtforge.engine import BuildConfig
from trtforge.errors import ConfigError, QuantizationError
from trtforge.graph import describe, lint, plan_placement, prepare, quantize_graph
from trtforge.graph.float8 import from_float8, to_float8
from trtforge.profiles import OptimizationProfile


def test_rounding_is_that_of_onnx():
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [
            rng.normal(0, 1, 500),
            rng.normal(0, 0.01, 500),
            rng.uniform(-500, 500, 500),
            [0.0, -0.0, 448, 464, -1e9, 2.0**-10, 3 * 2.0**-10, 1.0625, 1.1875],
        ]
    ).astype(np.float32)
    bits = to_float8(values)
    tensor = onnx.helper.make_tensor("f", onnx.TensorProto.FLOAT8E4M3FN, bits.shape, bits.tobytes(), raw=True)
    read = onnx.numpy_helper.to_array(tensor).astype(np.float32)
    np.testing.assert_array_equal(from_float8(bits), read)
    type_ = onnx.helper.tensor_dtype_to_np_dtype(onnx.TensorProto.FLOAT8E4M3FN)
    np.testing.assert_array_equal(read, np.clip(values, -448, 448).astype(type_).astype(np.float32))


def test_ties_go_to_the_even_mantissa():
    # Between 1 and 2 steps are an eighth: 1.0625 lies between 1 (even) and 1.125, 1.1875 before 1.25 (even).
    np.testing.assert_array_equal(from_float8(to_float8(np.array([1.0625, 1.1875]))), [1.0, 1.25])


def test_products_in_float8_run_in_onnx_runtime_and_build():
    model, scales = prepare_and_scale(transformer_block)
    result = quantize_graph(model, scales, to="float8")
    assert describe(result).counts == {"float8e4m3fn": 6, "float16": 2}
    arrays = feed(model)
    assert snr_db(run(model, arrays)["y"], run(result, arrays)["y"]) > 28.0
    assert build_rtx(result) > 10_000
    assert lint(result) == ()


def test_float8_is_for_compute_capability_8_9_and_above():
    pytest.importorskip("tensorrt_rtx")
    model, scales = prepare_and_scale(transformer_block)
    result = quantize_graph(model, scales, to="float8")
    shapes = {"x": ((1, 16, 32), (2, 60, 32), (4, 128, 32))}

    def build_for(*capabilities):
        return trtforge.build(
            result,
            profiles=[OptimizationProfile(shapes)],
            config=BuildConfig(compute_capabilities=capabilities),
            flavor="tensorrt_rtx",
        )

    assert build_for("8.9", "12.0").manifest.precision == "float8"
    with pytest.raises(ConfigError, match=r"needs compute capability 8.9 or above, .* run on 8.0"):
        build_for("8.0")


def test_convolutions_are_left_to_int8():
    plan = plan_placement(prepare(quartznet()), products_only=True)
    assert plan.placements == ()
    assert plan.left_alone["classifier"] == "FP8 is for products; quantize convolutions to INT8"
    model = prepare(quartznet())
    with pytest.raises(QuantizationError, match=r"no layer to quantize: stem\.conv: FP8 is for"):
        quantize_graph(model, max_scales(model, ["mel"]), to="float8")


def test_float8_needs_half_scales():
    model, scales = prepare_and_scale(transformer_block)
    with pytest.raises(
        QuantizationError, match='to must be "int8", or "float8" with rest="float16"'
    ) as caught:
        quantize_graph(model, scales, rest="float32", to="float8")
    assert caught.value.settings == ("to", "rest")
