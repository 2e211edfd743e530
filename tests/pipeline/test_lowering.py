"""What was observed decides which parts of a network stay in FP32."""

import numpy as np
import pytest
from onnx import helper, numpy_helper

import trtforge
from tests.graph.networks import Net, build_rtx, check, feed, quartznet, run, run_exactly, snr_db
from tests.graph.overflowing import cast_all, overflowing
from trtforge._optional import is_installed
from trtforge.engine import BuildConfig
from trtforge.errors import CalibrationError, ConfigError, QuantizationError
from trtforge.graph import describe, kept_float32, prepare, tensors_for_float16, to_float16
from trtforge.pipeline import observe
from trtforge.profiles import OptimizationProfile

PROFILE = OptimizationProfile({"x": ((1, 16, 32), (2, 60, 32), (4, 128, 32))})
KEPT = {"loud", "turned", "joined", "tripled", "copy", "nothing", "sum", "straight", "back"}
needs_rtx = pytest.mark.skipif(not is_installed("tensorrt_rtx"), reason="tensorrt_rtx is not installed")


@pytest.fixture(scope="module")
def observations():
    model = overflowing()
    return observe(model, [feed(model, seed) for seed in range(3)], tensors="float16")


def test_a_tensor_that_overflows_gives_nan_where_all_is_cast_and_numbers_where_it_was_observed(observations):
    model = overflowing()
    arrays = feed(model)
    expected = run(model, arrays)["y"]
    assert np.isfinite(expected).all()
    naive = cast_all(model)
    check(naive)
    assert np.isnan(run(naive, arrays)["y"]).mean() > 0.9
    with np.errstate(all="ignore"):
        assert np.isnan(run_exactly(naive, arrays)["y"]).mean() > 0.9
    typed = trtforge.lower(model, observations=observations)
    check(typed)
    assert snr_db(expected, run(typed, arrays)["y"]) > 55.0
    assert snr_db(expected, run_exactly(typed, arrays)["y"]) > 50.0
    kept = kept_float32(typed)
    assert set(kept) == KEPT
    largest = observations.tensors["loud"].observed_max
    assert largest > 65504
    assert kept["loud"] == kept["turned"] == f"'loud' reaches {largest:.3g}, and FP16 ends at 65504"
    assert kept["back"].startswith("'straight' reaches")
    assert [layer.precision for layer in describe(typed).layers] == [
        "float16", "float32", "float32", "float16",
    ]  # fmt: skip


def test_without_observations_the_overflow_is_not_known():
    model = overflowing()
    blind = trtforge.lower(model)
    assert kept_float32(blind) == {}
    assert np.isnan(run(blind, feed(model))["y"]).mean() > 0.9


@needs_rtx
def test_the_engine_names_what_stayed_in_float32(observations):
    config = BuildConfig(precision="float16")
    made = trtforge.build(
        overflowing(), profiles=[PROFILE], config=config, flavor="tensorrt_rtx", observations=observations
    ).manifest
    assert made.options["typed"] == "float16"
    assert made.options["observed_feeds"] == observations.feeds_sha256
    assert set(made.options["float32_nodes"]) == KEPT
    assert build_rtx(trtforge.lower(overflowing(), observations=observations)) > 1000


def test_vanishing_tensors_keep_their_makers_and_readers_in_float32():
    model = quartznet()
    shrink = next(t for t in model.graph.initializer if t.name == "stem.norm.gamma")
    tiny = np.full(shrink.dims, 1e-7, np.float32)
    for name in ("stem.norm.gamma", "stem.norm.beta"):
        tensor = next(t for t in model.graph.initializer if t.name == name)
        tensor.CopyFrom(numpy_helper.from_array(tiny, name))
    observed = observe(model, [feed(model)], tensors="float16")
    kept = kept_float32(trtforge.lower(model, observations=observed))
    assert "stem.relu" in kept
    assert "and rounding to FP16 changes it by" in kept["stem.relu"]
    assert "b1.second.conv" not in kept


def test_quantized_networks_keep_what_overflows_too():
    model = overflowing()
    feeds = [feed(model, seed) for seed in range(3)]
    observed = observe(model, feeds, tensors="all")
    scales = trtforge.pipeline.range_choice.scales_from(observed, model, method="max")
    assert set(scales) < set(observed.tensors)
    typed = trtforge.quantize(model, scales, observations=observed)
    check(typed)
    arrays = feed(model)
    expected = run(model, arrays)["y"]
    got = run_exactly(typed, arrays)["y"]
    assert snr_db(expected, got) > 25.0
    blind = trtforge.quantize(model, scales)
    with np.errstate(all="ignore"):
        assert not snr_db(expected, run_exactly(blind, arrays)["y"]) > 5.0
    assert set(describe(typed).counts) == {"int8"}
    assert kept_float32(typed)["loud"].startswith("'loud' reaches")


def test_tensors_that_only_rearrange_others_are_not_observed_twice():
    assert set(tensors_for_float16(overflowing())) == {
        "x", "hidden", "active", "loud", "joined", "tripled", "copy", "nothing", "sum", "back", "y",
    }  # fmt: skip


def test_a_network_that_fits_is_typed_as_without_observations():
    model = quartznet()
    observed = observe(model, [feed(model)], tensors="float16")
    assert trtforge.lower(model, observations=observed) == to_float16(prepare(model))


def test_observations_of_another_network_are_refused(observations):
    with pytest.raises(CalibrationError, match="the observations belong to another network"):
        trtforge.lower(quartznet(), observations=observations)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int8"}, "precision must be 'float16' or 'bfloat16', got 'int8'"),
        (
            {"precision": "bfloat16"},
            "observations have no effect on bfloat16, which holds whatever FP32 holds",
        ),
    ],
)
def test_what_has_no_effect_is_refused(options, message, observations):
    with pytest.raises(ConfigError, match=message):
        trtforge.lower(overflowing(), observations=observations, **options)


def test_an_unknown_choice_of_tensors_is_refused():
    with pytest.raises(
        ConfigError, match="tensors must be 'int8', 'float16', 'all' or 'cache', got 'bfloat16'"
    ):
        observe(overflowing(), [feed(overflowing())], tensors="bfloat16")


def test_a_network_of_one_16_bit_type_does_not_become_the_other():
    half = trtforge.lower(overflowing())
    assert describe(trtforge.lower(half)).counts == describe(half).counts
    with pytest.raises(QuantizationError, match="the network is float16, and bfloat16 is made of"):
        trtforge.lower(half, "bfloat16")
    with pytest.raises(QuantizationError, match="the network is bfloat16, and float16 is made of float32"):
        trtforge.lower(trtforge.lower(overflowing(), "bfloat16"))


@pytest.mark.parametrize(("dtype", "precision"), [(np.float16, "bfloat16"), (np.float64, "float16")])
def test_a_network_without_float32_is_refused_by_its_type(dtype, precision):
    net = Net()
    net.node("MatMul", ["x", net.constant("w", np.ones((32, 32), dtype))], "y")
    elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    model = net.model({"x": (elem_type, ["b", 32])}, {"y": (elem_type, ["b", 32])})
    with pytest.raises(
        QuantizationError, match=f"has no float32 tensor to type: it is {np.dtype(dtype)}"
    ) as caught:
        trtforge.lower(model, precision)
    assert caught.value.hint == "start from the network in FP32"
    with pytest.raises(
        CalibrationError, match="no tensor to observe for 'int8': y: its input is not float32"
    ):
        observe(model, [{"x": np.ones((1, 32), dtype)}])


def test_weights_alone_take_observations_too(observations):
    typed = trtforge.quantize_weights(overflowing(), "int8", block_size=32, observations=observations)
    assert kept_float32(typed)["loud"].startswith("'loud' reaches")
    with pytest.raises(ConfigError, match="observations needs rest='float16'"):
        trtforge.quantize_weights(overflowing(), rest="float32", observations=observations)


def test_a_quantized_network_is_observed_for_what_is_to_become_half_precision():
    model = quartznet()
    scales = trtforge.calibrate(model, [feed(model)], method="max")
    quantized = trtforge.quantize(model, scales, rest="float32")
    assert "b0.relu" in observe(quantized, [feed(model)], tensors="float16").tensors
    with pytest.raises(QuantizationError, match="the network is quantized already"):
        observe(quantized, [feed(model)], tensors="all")
