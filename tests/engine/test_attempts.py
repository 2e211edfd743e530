import pytest

from tests.engine import fake_builder
from tests.engine.networks import PROFILE, conv_net
from trtforge.engine import BuildConfig, build
from trtforge.engine.attempts import describe_way
from trtforge.errors import BuildError
from trtforge.nvidia.selection import flavor_for
from trtforge.scales import Scales, TensorScale

V8, V10 = flavor_for("tensorrt", "8.6.0"), flavor_for("tensorrt", "10.16.1")
SCALES = Scales({"mel": TensorScale(4.0, 4.0)}, "entropy", "a" * 64, "b" * 64, 3)
REASON = "Could not find any implementation for node {ForeignNode[a...b]}."


@pytest.fixture
def library(monkeypatch):
    return fake_builder.install(monkeypatch)[0]


def quantized(flavor=V8, **more):
    return build(conv_net(quantized=True), profiles=[PROFILE], flavor=flavor, scales=SCALES, **more)


def test_what_builds_at_once_is_left_as_it_is(library):
    made = quantized().manifest
    assert made.options == {"convolutions": "2-D"}
    assert describe_way(made) is None


def test_another_level_is_tried_and_noted(library):
    library.failing_levels = {3, 1}
    made = quantized().manifest
    assert made.options["way"] == "optimization level 4"
    assert [entry["way"] for entry in made.options["tried"]] == [
        "optimization level 3",
        "optimization level 1",
    ]
    assert all(REASON in entry["error"] for entry in made.options["tried"])
    assert describe_way(made) == (
        "built with optimization level 4, since the library could not at first "
        "(optimization level 3, optimization level 1 failed)"
    )
    assert library.given_cache is None


def test_the_level_that_was_asked_for_comes_first(library):
    library.failing_levels = {1}
    made = quantized(config=BuildConfig(optimization_level=1)).manifest
    assert (made.options["way"], made.options["optimization_level"]) == ("optimization level 3", 3)


def test_scales_go_in_as_a_cache_where_no_level_works(library):
    library.refuses_quantized = True
    made = quantized(unquantized=conv_net()).manifest
    assert made.options["way"] == "scales as a calibration cache"
    assert len(made.options["tried"]) == 3
    assert (made.precision, made.options["precision"]) == ("int8", "int8")
    assert library.given_cache.startswith(b"TRT-8600-EntropyCalibration2\n")


def test_tensorrt_10_is_given_the_cache_at_once(library):
    library.refuses_quantized = True
    made = quantized(V10, unquantized=conv_net()).manifest
    assert [entry["way"] for entry in made.options["tried"]] == ["optimization level 3"]
    assert made.options["way"] == "scales as a calibration cache"


def test_where_nothing_works_the_first_reason_comes_first(library):
    library.refuses_quantized = True
    with pytest.raises(BuildError) as caught:
        quantized()
    assert caught.value.message.startswith(f"tensorrt 8.6.0 could not build the engine: 10: {REASON}")
    assert "other ways failed too: optimization level 1: tensorrt" in caught.value.message
    assert caught.value.layer == "{ForeignNode[a...b]}"
    with pytest.raises(BuildError, match=r"could not build the engine: 10: .*") as caught:
        quantized(V10)
    assert "other ways" not in caught.value.message


def test_networks_that_are_not_quantized_are_not_tried_again(library):
    library.build_serialized_network = lambda network, config: None
    with pytest.raises(BuildError, match="the library gave no reason") as caught:
        build(conv_net(), profiles=[PROFILE], flavor=V8)
    assert "other ways" not in caught.value.message


def test_another_network_is_in_the_key_only_where_it_may_be_built(library, tmp_path):
    def key(flavor, **more):
        return quantized(flavor, store=tmp_path, **more).manifest.build_key

    assert key(V8) != key(V8, unquantized=conv_net())
    assert key(V8, unquantized=conv_net()) != key(V8, unquantized=conv_net("float16"))
    pytest.importorskip("tensorrt_rtx")
    assert key("tensorrt_rtx") == key("tensorrt_rtx", unquantized=conv_net())
