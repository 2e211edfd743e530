"""FP8, and weights alone in INT8 or INT4: who has them, what is built, and what is refused."""

import numpy as np
import pytest

from tests.engine import fake_builder
from tests.engine.networks import PROFILE as OF_CONVOLUTIONS
from tests.engine.networks import conv_net, dense_net
from trtforge.engine import BuildConfig, build, network_precision
from trtforge.engine.narrow_types import check_library, targets_of
from trtforge.engine.precision import agreed_precision
from trtforge.engine.proof import PrecisionProof
from trtforge.errors import ConfigError, QuantizationError
from trtforge.nvidia.selection import flavor_for
from trtforge.pipeline import calibrate, quantize
from trtforge.profiles import OptimizationProfile

V8, V10, V11 = (flavor_for("tensorrt", version) for version in ("8.6.0", "10.16.1", "11.4.0"))
RTX = flavor_for("tensorrt_rtx", "1.7.1")
PROFILE = OptimizationProfile({"mel": ((1, 80, 8), (2, 80, 32), (4, 80, 64))})


@pytest.fixture
def _rtx():
    pytest.importorskip("tensorrt_rtx")


def float8_net():
    model = dense_net()
    feeds = [{"mel": np.random.default_rng(0).standard_normal((2, 80, 40)).astype(np.float32)}]
    return quantize(model, calibrate(model, feeds, method="max"), to="float8")


def built(model, profile=PROFILE, **settings):
    return build(model, profiles=[profile], flavor="tensorrt_rtx", config=BuildConfig(**settings)).manifest


@pytest.mark.usefixtures("_rtx")
def test_float8_is_built_for_the_gpus_that_have_it_and_counted():
    made = built(float8_net(), precision="float8")
    assert made.precision == "float8"
    assert made.compute_capabilities == ("8.9", "12.0+")  # not 8.0 and 8.6, which are in the portable set
    assert [(layer.requested, layer.real, layer.source) for layer in made.proof.layers] == [
        ("fp8", "fp8", "engine")
    ] * 3
    assert made.layer_precisions["fp8"] == 3
    asked = built(float8_net(), compute_capabilities=("8.9",))
    assert (asked.precision, asked.compute_capabilities) == ("float8", ("8.9",))
    with pytest.raises(
        ConfigError,
        match=r"precision 'float8' needs compute capability 8\.9 or above, and the engine is to run on 8\.0",
    ):
        built(float8_net(), compute_capabilities=("8.0", "8.9"))


@pytest.mark.usefixtures("_rtx")
@pytest.mark.parametrize(
    ("precision", "stored"), [("int8_weight_only", "int8"), ("int4_weight_only", "int4")]
)
def test_weights_alone_are_stored_narrow(precision, stored):
    made = built(dense_net(), precision=precision, weight_block_size=16)
    assert made.precision == precision
    assert made.options["typed"] == precision
    assert made.options["block_size"] == 16
    assert {layer.real for layer in made.proof.layers} == {"float16"}
    assert {layer.stored for layer in made.proof.layers} == {stored}
    # The library multiplies with INT4 as it is, but for the last weight, 29 wide; INT8 it widens beforehand.
    read = [layer.read == stored for layer in made.proof.layers]
    assert read == ([True, True, False] if stored == "int4" else [False] * 3)
    assert made.proof.counts["stored_narrow"] == 3
    assert made.proof.counts["read_narrow"] == sum(read)
    assert f"3 with weights in {stored} ({sum(read)} read so)" in str(made.proof)
    assert PrecisionProof.from_json(made.proof.to_json()) == made.proof


@pytest.mark.usefixtures("_rtx")
def test_a_depth_that_blocks_do_not_divide_keeps_its_weight():
    proof = built(dense_net(), precision="int4_weight_only").proof
    assert [layer.stored for layer in proof.layers] == [None, "int4", "int4"]  # 80 deep, in blocks of 64
    with pytest.raises(QuantizationError, match="no product has a weight to store narrow"):
        built(conv_net(), OF_CONVOLUTIONS, precision="int8_weight_only")
    with pytest.raises(
        ConfigError, match=r"needs compute capability 8\.0 or above, and the engine is to run on 7\.5"
    ):
        built(dense_net(), precision="int4_weight_only", compute_capabilities=("7.5",))


def test_what_a_network_holds_is_told():
    assert network_precision(float8_net()) == "float8"
    assert network_precision(conv_net(quantized=True)) == "int8"


def test_a_library_that_lacks_a_type_is_told_from_those_that_have_it():
    for precision, needs in (
        ("float8", "FLOAT8E4M3FN and opset 19"),
        ("int8_weight_only", "INT8 and opset 21"),
        ("int4_weight_only", "INT4 and opset 21"),
    ):
        message = rf"precision '{precision}' needs {needs}; tensorrt 8\.6\.0 reads INT8 and opset 17"
        with pytest.raises(ConfigError, match=message) as told:
            check_library(precision, V8)
        assert told.value.hint.startswith("TensorRT 10 and later and TensorRT-RTX have it")
        for flavor in (V10, V11, RTX):
            check_library(precision, flavor)
    for flavor in (V8, V10, RTX):
        check_library("int8", flavor)


def test_tensorrt_8_refuses_before_it_is_asked(monkeypatch):
    fake_builder.install(monkeypatch)
    with pytest.raises(ConfigError, match="needs INT4 and opset 21"):
        build(dense_net(), profiles=[PROFILE], flavor=V8, config=BuildConfig(precision="int4_weight_only"))
    with pytest.raises(ConfigError, match="needs FLOAT8E4M3FN"):
        build(float8_net(), profiles=[PROFILE], flavor=V8)


def test_the_gpu_here_decides_where_the_library_builds_for_it(monkeypatch):
    monkeypatch.setattr(type(V11), "built_for", lambda *_: ("8.6",))
    with pytest.raises(ConfigError, match=r"needs compute capability 8\.9 or above, .* run on 8\.6"):
        targets_of("float8", V11, BuildConfig())
    assert targets_of("int4_weight_only", V11, BuildConfig()) == ("8.6",)
    monkeypatch.setattr(type(V11), "built_for", lambda *_: ("9.0",))
    assert targets_of("float8", V11, BuildConfig()) == ("9.0",)


def test_only_a_float32_network_is_given_narrow_weights():
    for held in (conv_net("float16"), conv_net(quantized=True)):
        with pytest.raises(ConfigError, match="'int4_weight_only' was asked of a network that holds") as told:
            agreed_precision(held, "int4_weight_only", RTX)
        assert "pass the network as it was before" in told.value.hint
    with pytest.raises(
        ConfigError, match="precision 'float8' was asked of a network that holds 'float32'"
    ) as told:
        agreed_precision(dense_net(), "float8", RTX)
    assert "quantize the network to float8 first" in told.value.hint


def test_a_block_size_is_one_that_kernels_have():
    with pytest.raises(ConfigError, match="weight_block_size must be one of 16, 32, 64, 128, got 48"):
        BuildConfig(weight_block_size=48)
