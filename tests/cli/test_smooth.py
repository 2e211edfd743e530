"""``trtforge smooth`` writes a network that calibrates as any other, and says what it chose."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.bundled import CALIBRATION_SET, MODEL
from tests.cli.test_commands import part_of
from tests.graph.networks import Net, assert_same_outputs
from trtforge import external_data
from trtforge.audio import LogMel
from trtforge.cli import main


def normalised_frames(path: Path) -> onnx.ModelProto:
    """Write a network that normalises log-mel frames, four bins far above the others, before a product."""
    net = Net()
    rows = net.node("Transpose", ["mel"], "rows", perm=[0, 2, 1])
    gain = np.ones(80, np.float32)
    gain[:4] = 40
    constants = [net.constant("gain", gain), net.constant("shift", np.zeros(80, np.float32))]
    normed = net.node("LayerNormalization", [rows, *constants], "normed", axis=-1)
    net.node("MatMul", [normed, net.normal("weight", 80, 32)], "y")
    model = net.model({"mel": ["batch", 80, "frames"]}, {"y": ["batch", "frames", 32]})
    onnx.helper.set_model_props(model, {"trtforge.features": json.dumps(LogMel().to_json())})
    onnx.save(model, path)
    return model


def test_outlier_channels_are_smoothed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = normalised_frames(tmp_path / "net.onnx")
    clips = part_of(CALIBRATION_SET, 4, tmp_path / "clips")
    # A network that one file could not hold.
    monkeypatch.setattr(external_data, "MAX_BYTES", 1000)
    words = ["smooth", tmp_path / "net.onnx", "--calibration-set", clips, "-o", tmp_path / "s.onnx"]
    assert main([str(word) for word in words]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Smoothing(1 of 1 tensors changed)" in said
    before, after = map(float, re.findall(r"normed alpha [0-9.]+, ([0-9.]+) to ([0-9.]+) dB", said)[0])
    assert after > before + 3
    assert (tmp_path / "s.onnx.data").stat().st_size >= 4 * 80 * 32
    assert_same_outputs(model, onnx.load(tmp_path / "s.onnx"), atol=1e-4)


def test_a_convolutional_network_has_nothing_to_smooth(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["smooth", str(MODEL), "--calibration-set", str(CALIBRATION_SET), "-o", str(tmp_path / "s.onnx")]
    assert main(words) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "error quantization the network has no normalised tensor that products alone read" in said
    assert not (tmp_path / "s.onnx").exists()
