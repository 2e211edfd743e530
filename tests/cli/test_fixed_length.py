"""The steps for a network of fixed length, as the error and the page give them, run as they stand."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import trtforge
from tests.bundled import CALIBRATION_SET, ROOT, some_clips
from trtforge.cli import main
from trtforge.errors import ModelError
from trtforge.model import load_model, model_inputs

PAGE = (ROOT / "docs/calibration.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("### Networks of fixed length")[2].partition("\n## ")[0]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run the page's blocks; return where they wrote."""
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL):
        exec(compile(block, "calibration.md", "exec"), names)  # noqa: S102 - what users are told to copy
    return Path(str(names["folder"]))


def test_the_page_leads_to_an_engine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (command,) = re.findall(r"```bash\ntrtforge (.*?)\n```", SECTION)
    assert main([*shlex.split(command), "--flavor", "tensorrt_rtx"]) == 0
    engine = trtforge.Engine.load(folder / "fixed.engine", check_machine=False)
    (profile,) = engine.manifest.profiles
    assert profile.shapes["mel"].min[-1] == profile.shapes["mel"].max[-1] == 300
    assert engine.manifest.precision == "int8"


def test_the_lines_of_the_hint_run_as_they_stand(folder: Path) -> None:
    features = trtforge.LogMel()
    with pytest.raises(ModelError) as caught:
        features.check(model_inputs(load_model(folder / "fixed.onnx")))
    lines = [line[2:] for line in str(caught.value.hint).splitlines() if line.startswith("  ")]
    given, *each, last = lines
    assert given == "features = trtforge.LogMel(...)  # as the network was trained"
    names = {
        "trtforge": trtforge,
        "np": np,
        "features": features,
        "clips": some_clips(CALIBRATION_SET, 2),
        "batches": [],
        "model": folder / "fixed.onnx",
    }
    for clip in some_clips(CALIBRATION_SET, 2):
        exec("\n".join(each), names, {"clip": clip})  # noqa: S102 - what users are told to copy
    exec(last, names)  # noqa: S102
    scales = names["scales"]
    assert isinstance(scales, trtforge.Scales)
    assert scales.num_clips == 2
    assert scales["mel"].amax > 1


def test_lengths_that_it_does_not_take_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["build", str(folder / "fixed.onnx"), "-o", str(folder / "other.engine"), "--frames", "64", "300"]
    assert main([*words, "--flavor", "tensorrt_rtx"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "--frames has no effect: the network fixes every length (mel: float32 [" in said
    assert "hint leave it out" in said
    assert not (folder / "other.engine").exists()
