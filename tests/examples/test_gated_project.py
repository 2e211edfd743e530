"""The sample project gates itself: green as committed, red where one scale is broken."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.bundled import ROOT
from tests.projects import run_pytest, run_python
from trtforge.checks import Baseline

PROJECT = ROOT / "examples/gated_project"


@pytest.fixture
def gated(tmp_path: Path) -> Path:
    """Copy the project to where it may be spoiled, with the repository's files in their places."""
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/models").symlink_to(ROOT / "examples/models")
    (tmp_path / "calibration_sets").symlink_to(ROOT / "calibration_sets")
    folder = tmp_path / "examples/gated_project"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("build", "__pycache__"))
    return folder


def test_it_is_green_as_committed(gated: Path) -> None:
    run_python(gated, "make_engine.py")
    status, out = run_pytest(gated)
    assert status == 0, out
    assert "1 passed" in out


def test_it_is_red_with_one_broken_scale_and_says_why(gated: Path) -> None:
    scales = gated / "scales.json"
    value = json.loads(scales.read_text())
    value["tensors"]["blocks.3.relu"]["amax"] /= 8
    scales.write_text(json.dumps(value))
    run_python(gated, "make_engine.py")
    status, out = run_pytest(gated)
    assert status == 1
    pattern = (
        r"asr_int8\.onnx: FAIL\n"
        r"  FAIL: WER \d\d\.\d\d %, baseline 41\.18 %: \d+\.\d\d points worse, 0\.50 points allowed, "
        r"p = 0\.\d+ on 60 clips\n"
        r"  FAIL: SNR of logits 1\d\.\d dB, baseline 28\.4 dB: 1\d\.\d\d dB worse, 1\.00 dB allowed, "
        r"p = 0\.0001 on 60 clips\n"
        r"  podcast_en_test-\d+: \d+ errors then, \d+ now\n    said   [a-z ']+\n    heard  [a-z ']+\n"
    )
    assert re.search(pattern, out), out
    assert "hint: mend the candidate; if the change is meant, update the baseline and review it" in out
    assert "Traceback" not in out


def test_the_readme_shows_the_gate_and_its_message() -> None:
    readme = (PROJECT / "README.md").read_text()
    gate = (PROJECT / "tests/test_engine.py").read_text()
    assert gate[gate.index("def test_") :] in readme
    assert "asr_int8.onnx: FAIL\n  FAIL: WER" in readme


def test_the_baseline_says_what_it_was_measured_on() -> None:
    baseline = Baseline.load(PROJECT / "tests/baselines/test_engine.test_int8_keeps_its_accuracy.json")
    assert (baseline.runner, len(baseline.clips)) == ("asr_int8.onnx", 60)
    assert baseline.metrics()["wer"]["words"] == 663
    assert "onnxruntime" in baseline.environment
