"""What is said beside the figures of a compilation."""

from pathlib import Path

import numpy as np
import pytest

import trtforge
from tests.bundled import CALIBRATION_SET, MODEL, TEST_SET, some_clips
from trtforge.errors import CalibrationError
from trtforge.model import load_model, model_inputs
from trtforge.pipeline.remarks import remark_clips_in_both, remark_clips_outside, remark_only_zeros
from trtforge.profiles import OptimizationProfile
from trtforge.report import FORMAT, render_html
from trtforge.scales import Scales, TensorScale


def test_clips_that_the_engine_would_refuse_are_counted() -> None:
    clips, features = some_clips(TEST_SET, 6), trtforge.LogMel.for_model(MODEL)
    inputs = model_inputs(load_model(MODEL))
    frames = sorted(feed.arrays["mel"].shape[-1] for feed in clips.feeds(features))
    limit = frames[3]
    short = OptimizationProfile({"mel": ((1, 80, 8), (1, 80, 64), (1, 80, limit))})
    (remark,) = remark_clips_outside(clips, features, inputs, [short])
    assert remark.startswith("2 of 6 evaluated clips lie outside the engine's profiles, which take 8 to ")
    assert f"they have {frames[4]} to {frames[5]}, and the engine would refuse them" in remark
    wide = OptimizationProfile({"mel": ((1, 80, 8), (1, 80, 64), (1, 80, frames[-1]))})
    assert remark_clips_outside(clips, features, inputs, [short, wide]) == []


def test_clips_that_were_calibrated_on_are_no_test() -> None:
    clips = some_clips(TEST_SET, 6)
    (remark,) = remark_clips_in_both(clips.subset(clips.ids[:2]), clips)
    assert remark.startswith("2 of 6 evaluated clips were calibrated on too: ")
    assert remark_clips_in_both(some_clips(CALIBRATION_SET, 6), clips) == []
    assert remark_clips_in_both(None, clips) == []


def test_ranges_of_zeros_are_named() -> None:
    entry = TensorScale(1e-5, 0.0, 0.0, floored=True)
    scales = Scales(dict.fromkeys("abcde", entry), "entropy", "m" * 64, "f" * 64, 8)
    assert remark_only_zeros(scales) == [
        "Calibration saw only zeros of 'a', 'b', 'c' and 2 more: INT8 clips whatever else comes there."
    ]
    assert remark_only_zeros(None) == []


def test_an_input_of_zeros_alone_is_refused() -> None:
    with pytest.raises(CalibrationError, match="input 'mel' was nothing but zeros in all 2 clips") as caught:
        trtforge.calibrate(MODEL, [{"mel": np.zeros((1, 80, 64), np.float32)}] * 2)
    assert caught.value.hint is not None
    assert "silence says nothing" in caught.value.hint


def test_the_page_carries_the_remarks(tmp_path: Path) -> None:
    page = render_html({"format": FORMAT, "title": "asr", "remarks": ["The engine was <not> run here."]})
    assert "The engine was &lt;not&gt; run here." in page
