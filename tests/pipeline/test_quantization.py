"""Ranges and the network they belong to stay together."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

import trtforge
from tests.bundled import CALIBRATION_SET, MODEL, some_clips
from trtforge.errors import ScalesError
from trtforge.graph import describe
from trtforge.scales import Scales


@pytest.fixture(scope="module")
def scales() -> Scales:
    return trtforge.calibrate(MODEL, some_clips(CALIBRATION_SET, 4).feeds(trtforge.LogMel.for_model(MODEL)))


def test_arrays_serve_as_feeds() -> None:
    mel = np.random.default_rng(0).standard_normal((1, 80, 96)).astype(np.float32)
    scales = trtforge.calibrate(MODEL, [{"mel": mel}], method="max")
    assert scales["mel"].amax == pytest.approx(float(np.abs(mel).max()), rel=1e-3)


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
