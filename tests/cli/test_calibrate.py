"""``trtforge calibrate``: what it refuses, and the calibration cache that it writes."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.bundled import CALIBRATION_SET, MODEL
from tests.cli.test_commands import part_of, run
from tests.graph.networks import Net
from trtforge import LogMel, annotate
from trtforge.calibration import parser_names, read_calibration_cache
from trtforge.cli import main
from trtforge.scales import Scales


def test_a_cache_covers_every_tensor_that_the_parser_makes(capsys, tmp_path):
    clips, path = part_of(CALIBRATION_SET, 3, tmp_path / "clips"), tmp_path / "asr.cache"
    status, out, err = run(
        capsys, "calibrate", MODEL, "--calibration-set", clips, "-o", tmp_path / "scales.json",
        "--method", "max", "--cache", path, "--cache-version", "8.6.1",
    )  # fmt: skip
    assert status == 0
    names = parser_names(onnx.load(f"{path}.onnx"))
    cache = read_calibration_cache(path)
    assert (cache.library_version, list(cache.scales)) == ("8.6.1", list(names))
    assert cache.scales["(Unnamed Layer* 5) [Shuffle]_output"] == cache.scales["mel"]
    scales = Scales.load(tmp_path / "scales.json")
    assert cache.scales["mel"] == pytest.approx(scales["mel"].scale)
    assert len(scales) < len(set(names.values()))
    assert f"cache of {len(names)} tensors  {path}" in out
    assert "note:" not in err


def test_what_the_library_warns_of_is_a_note(capsys, tmp_path, recwarn):
    net = Net()
    rows = net.node("Transpose", ["mel"], "rows", perm=[0, 2, 1])
    gains = [net.constant("gain", np.ones(80, np.float32)), net.constant("shift", np.zeros(80, np.float32))]
    normed = net.node("LayerNormalization", [rows, *gains], "normed", axis=-1)
    back = net.node("Transpose", [normed], "back", perm=[0, 2, 1])
    net.node("Conv", [back, net.normal("weight", 32, 80, 1)], "y")
    model = net.model({"mel": ["batch", 80, "frames"]}, {"y": ["batch", 32, "frames"]})
    onnx.save(annotate(model, features=LogMel()), tmp_path / "net.onnx")
    clips, path = part_of(CALIBRATION_SET, 3, tmp_path / "clips"), tmp_path / "net.cache"
    status, _, err = run(
        capsys, "calibrate", tmp_path / "net.onnx", "--calibration-set", clips,
        "-o", tmp_path / "scales.json", "--method", "max", "--cache", path,
    )  # fmt: skip
    assert status == 0
    said = [line for line in err.splitlines() if "cannot be predicted" in line]
    assert len(said) == 1
    assert said[0].startswith("note: the names that TensorRT 8.6 makes from node")
    assert not recwarn.list


def test_a_library_without_calibrators_is_refused_before_any_work(capsys, tmp_path):
    status, _, err = run(
        capsys, "calibrate", MODEL, "--calibration-set", CALIBRATION_SET, "-o", tmp_path / "scales.json",
        "--cache", tmp_path / "asr.cache", "--cache-version", "11.0.0",
    )  # fmt: skip
    assert status == 2
    assert "TensorRT 11.0.0 takes no calibration cache" in " ".join(err.split())
    assert not list(tmp_path.iterdir())


def said(capsys, *words):
    """Run ``trtforge calibrate`` on a set that is not there, and return what it says of the options."""
    assert main(["calibrate", *map(str, words), "--calibration-set", "nowhere"]) == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--method", "percentile", "--percentile", "nan"),
            "above 0 and up to 100, got nan option percentile",
        ),
        (("--percentile", "99.9"), "--percentile 99.9 is for --method percentile, and the method is auto"),
        (
            ("--save-observations", "/"),
            "a file cannot be read or written: [Errno 21] a file is to be written, and this is a folder: '/'",
        ),
        (("--cache-version", "11.0"), "TensorRT 11.0 takes no calibration cache"),
    ],
)
def test_options_are_judged_before_the_clips_run(options, message, capsys, tmp_path):
    assert message in said(capsys, MODEL, "-o", tmp_path / "scales.json", *options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "asr.onnx"), "MODEL and --output are one file, asr.onnx"),
        (("-o", "asr.json", "--cache", "./asr"), "MODEL and the network of --cache are one file, ./asr.onnx"),
        (("-o", "a.json", "--save-observations", "a.json"), "--output and --save-observations are one file"),
        (("-o", "a.json", "--cache", "a.json"), "--output and --cache are one file, a.json"),
    ],
)
def test_no_output_takes_the_place_of_another_file(options, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = MODEL.read_bytes()
    Path("asr.onnx").write_bytes(content)
    assert message in said(capsys, "asr.onnx", *options)
    assert Path("asr.onnx").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["asr.onnx"]
