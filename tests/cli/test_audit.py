import json
import shutil
from pathlib import Path

import pytest

from trtforge.calibration import AuditReport
from trtforge.cli import main

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "examples/models/asr_en/asr_en.onnx"
CLIPS = ROOT / "calibration_sets/podcast_en"


@pytest.fixture(scope="module")
def some_clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("some_clips")
    lines = (CLIPS / "manifest.jsonl").read_text().splitlines()[:9]
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    for line in lines:
        path = folder / json.loads(line)["path"]
        path.parent.mkdir(exist_ok=True)
        shutil.copy(CLIPS / json.loads(line)["path"], path)
    return folder


def test_audit_prints_tables_and_writes_json_and_page(some_clips, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["audit", str(MODEL), "--calibration-set", str(some_clips), "-o", str(out)]
    assert main([*command, "--method", "percentile", "--seeds", "1", "--min-clips", "3"]) == 0
    said = capsys.readouterr().out
    assert "Audit of 9 clips, thresholds by percentile" in said
    stages = [line.split()[1] for line in said.splitlines() if line.startswith("✓")]
    assert stages == ["observe", "audit"]
    assert " tensors on 9 clips " in said
    assert "fewer than 3 clips" in said
    report = AuditReport.from_json(json.loads((out / "audit.json").read_text()))
    assert (report.num_clips, report.method, report.coverage.min_clips) == (9, "percentile", 3)
    page = (out / "audit.html").read_text()
    assert "Are the clips enough?" in page
    assert sorted(path.name for path in out.iterdir()) == ["audit.html", "audit.json"]


def test_a_set_that_is_not_there(tmp_path, capsys):
    assert main(["audit", str(MODEL), "--calibration-set", str(tmp_path / "none")]) == 2
    assert "clip_set" in capsys.readouterr().err
