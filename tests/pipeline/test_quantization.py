"""A quantized network, and the ranges that belong to it."""

from dataclasses import replace

import onnx
import onnx.parser
import pytest

import trtforge
from tests.bundled import CALIBRATION_SET, MODEL, some_clips
from trtforge.errors import ConfigError, NoGpuError, ScalesError
from trtforge.graph import describe
from trtforge.graph.opset import opset_of
from trtforge.nvidia import Flavor
from trtforge.nvidia.selection import flavor_for
from trtforge.pipeline import quantization, quantize
from trtforge.scales import Scales


@pytest.fixture(scope="module")
def scales() -> Scales:
    return trtforge.calibrate(MODEL, some_clips(CALIBRATION_SET, 4).feeds(trtforge.LogMel.for_model(MODEL)))


def test_layers_at_the_ends_and_names_are_kept(scales: Scales) -> None:
    layers = describe(trtforge.quantize(MODEL, scales, keep_float="last")).layers
    assert [layer.precision for layer in layers] == ["int8"] * (len(layers) - 1) + ["float16"]
    with pytest.raises(ConfigError, match="keep_float32 needs rest='float16'"):
        trtforge.quantize(MODEL, scales, rest="float32", keep_float32=["classifier*"])


def test_every_layer_becomes_int8(scales: Scales) -> None:
    assert set(describe(trtforge.quantize(MODEL, scales)).counts) == {"int8"}


def test_an_excluded_layer_keeps_its_type(scales: Scales) -> None:
    counts = describe(trtforge.quantize(MODEL, scales, rest="float32", exclude=["classifier*"])).counts
    assert counts["float32"] == 1


def test_scales_of_another_network_are_refused(scales: Scales) -> None:
    other = onnx.load(MODEL)
    other.graph.name = "other"
    with pytest.raises(ScalesError, match="the scales belong to another network"):
        trtforge.quantize(other, scales)
    with pytest.raises(ScalesError, match="this one is"):
        trtforge.quantize(MODEL, replace(scales, model_sha256="0" * 64))


def test_the_network_given_is_not_changed(scales: Scales) -> None:
    model = onnx.load(MODEL)
    before = model.SerializeToString(deterministic=True)
    trtforge.quantize(model, scales)
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    ("library", "version", "rest", "opset"),
    [("tensorrt", "8.6.0", "float32", 17), ("tensorrt", "11.4.0", "float16", 19)],
)
def test_the_rest_is_what_the_library_here_takes(
    scales: Scales, monkeypatch: pytest.MonkeyPatch, library: str, version: str, rest: str, opset: int
) -> None:
    monkeypatch.setattr(quantization, "select", lambda: flavor_for(library, version))
    found = quantize(MODEL, scales)
    assert opset_of(found) == opset
    assert found == quantize(MODEL, scales, rest=rest)


def test_where_no_library_builds_the_rest_is_fp16(scales: Scales, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Flavor:
        raise NoGpuError("no GPU")

    monkeypatch.setattr(quantization, "select", none)
    assert quantize(MODEL, scales) == quantize(MODEL, scales, rest="float16")
