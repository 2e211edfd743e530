"""Ranges of a network, from arrays and from clips."""

import io
import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from rich.console import Console

import trtforge
from tests.bundled import CALIBRATION_SET, MODEL
from trtforge.calibration import FLOOR_AMAX, METHODS
from trtforge.cli.inspect import scales_table
from trtforge.errors import ConfigError
from trtforge.pipeline import observe_clips


def test_arrays_serve_as_feeds() -> None:
    mel = np.random.default_rng(0).standard_normal((1, 80, 96)).astype(np.float32)
    scales = trtforge.calibrate(MODEL, [{"mel": mel}], method="max")
    assert scales["mel"].amax == pytest.approx(float(np.abs(mel).max()), rel=1e-3)
    assert trtforge.calibrate(MODEL, ({"mel": mel} for _ in "a"), method="max") == scales  # type: ignore[arg-type]


def test_a_range_that_cuts_off_most_of_the_energy_is_told() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[batch, 16] gate, float[batch, 16] up) => (float[batch, 16] y) {
            gated = Mul (gate, up)
            y = MatMul (gated, w)
        }
    """)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(16, dtype=np.float32), "w"))
    rng = np.random.default_rng(0)
    # The product of two heavy tails.
    feeds = [{name: rng.standard_t(2.5, (8192, 16)).astype(np.float32) for name in ("gate", "up")}]
    with pytest.warns(RuntimeWarning, match=r"By entropy, 1 of 1 tensors get a range .*'gated' \d+ dB where"):
        trtforge.calibrate(model, feeds)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trtforge.calibrate(model, feeds, method="mse")


def test_settings_are_judged_before_the_network_runs() -> None:
    with pytest.raises(ConfigError, match="no calibration method 'minmax'"):
        trtforge.calibrate("nowhere.onnx", [], method="minmax")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="percentile must lie above 0 and up to 100, got 0"):
        trtforge.calibrate("nowhere.onnx", [], method="percentile", percentile=0)


def test_clips_left_out_are_named_whether_refused_at_load_or_while_decoding(tmp_path: Path) -> None:
    lines = (CALIBRATION_SET / "manifest.jsonl").read_text().splitlines()[:22]
    entries = [json.loads(line) for line in lines]
    for entry in entries:
        path = tmp_path / entry["path"]
        path.parent.mkdir(exist_ok=True)
        shutil.copy(CALIBRATION_SET / entry["path"], path)
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    refused, dropped = entries[3], entries[7]
    (tmp_path / refused["path"]).write_bytes(b"OggS but no more")
    clips = trtforge.ClipSet.load(tmp_path)
    (tmp_path / dropped["path"]).write_bytes(b"")
    features = trtforge.LogMel.for_model(MODEL)
    message = f"2 of 22 clips were left out of the calibration; the first is '{refused['id']}': "
    with pytest.warns(RuntimeWarning, match=message):
        found = trtforge.calibrate(MODEL, clips.feeds(features), method="max")
    assert found.num_clips == 20
    assert "num_clips=20, 2 rejected, model=" in repr(found)
    assert list(found.rejected) == [refused["id"], dropped["id"]]
    assert "SHA-256" in found.rejected[refused["id"]]
    assert "the file is empty" in found.rejected[dropped["id"]]
    assert trtforge.evaluate({"FP32": MODEL}, clips).rejected == found.rejected
    assert observe_clips(MODEL, clips).rejected == found.rejected


def test_tensors_that_are_zero_or_constant_give_a_network_that_runs() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[batch, 16, time] x) => (float[batch, 16, time] y) {
            c = Conv <pads = [1, 1]> (x, weight, bias)
            r = Relu (c)
            y = Conv <pads = [1, 1]> (r, weight)
        }
    """)
    weight = np.random.default_rng(0).normal(size=(16, 16, 3)).astype(np.float32)
    constants = {"weight": weight, "bias": np.full(16, -100, np.float32)}
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(value, name) for name, value in constants.items()
    )
    x = np.full((1, 16, 40), 0.25, np.float32)
    for method in METHODS:
        scales = trtforge.calibrate(model, [{"x": x}], method=method)
        assert scales["x"].amax == pytest.approx(0.25, rel=1e-3)
        assert (scales["x"].floored, scales["r"].floored) == (False, True)
        assert scales["r"].amax == FLOOR_AMAX
    said = io.StringIO()
    Console(file=said, width=200).print(scales_table(scales))
    assert said.getvalue().count("(only zeros seen)") == 1
    for rest in ("float16", "float32"):
        with trtforge.OnnxRunner(trtforge.quantize(model, scales, rest=rest)) as runner:  # type: ignore[arg-type]
            assert not runner.run({"x": x})["y"].any()


def test_a_bound_below_a_byte_is_refused() -> None:
    mel = np.ones((1, 80, 96), np.float32)
    with pytest.raises(ConfigError, match="activation_bytes must be at least 1, got 0") as caught:
        trtforge.calibrate(MODEL, [{"mel": mel}], activation_bytes=0)
    assert caught.value.settings == ("activation_bytes",)


def test_a_small_bound_gives_the_same_ranges() -> None:
    mel = np.random.default_rng(0).standard_normal((1, 80, 96)).astype(np.float32)
    whole = trtforge.calibrate(MODEL, [{"mel": mel}], method="max")
    pieces = trtforge.calibrate(MODEL, [{"mel": mel}], method="max", activation_bytes=200_000)
    assert {name: pieces[name].amax for name in whole.tensors} == pytest.approx(
        {name: entry.amax for name, entry in whole.tensors.items()}, rel=1e-5
    )
