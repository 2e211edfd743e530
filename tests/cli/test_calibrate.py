from pathlib import Path

import pytest

from trtforge.cli import main

MODEL = Path(__file__).parents[2] / "examples/models/asr_en/asr_en.onnx"


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
        (("--percentile", "99.9"), "--percentile 99.9 is for --method percentile, and the method is entropy"),
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
