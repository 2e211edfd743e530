import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import trtforge
from trtforge.accuracy import AccuracyReport
from trtforge.calibration import AuditReport
from trtforge.cli import main
from trtforge.errors import ConfigError
from trtforge.pipeline import audit

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


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"method": "minmax"}, "no calibration method 'minmax'"),
        ({"percentile": 200.0}, "percentile must lie above 0 and up to 100, got 200.0"),
        ({"min_clips": 0}, "min_clips must be at least 1, got 0"),
        ({"max_change": float("nan")}, "max_change must be above 0, got nan"),
        ({"max_clipped_share": 2.0}, r"max_clipped_share must lie in 0 to 1, got 2\.0"),
        ({"num_seeds": 0}, "num_seeds must be at least 1, got 0"),
    ],
)
def test_settings_are_judged_before_the_clips_run(setting, message):
    with pytest.raises(ConfigError, match=message):
        audit("nowhere.onnx", "nowhere", **setting)


def test_an_output_that_cannot_be_written_is_refused_at_once(tmp_path, capsys):
    (tmp_path / "file").write_text("here already")
    command = ["audit", str(MODEL), "--calibration-set", "nowhere", "-o", str(tmp_path / "file")]
    assert main(command) == 2
    assert "File exists" in capsys.readouterr().err


@pytest.fixture
def quiet_clips(tmp_path):
    """Nine clips of speech, of which one is faint noise, one all zeros, and one has a long silent pause."""
    lines = [json.loads(line) for line in (CLIPS / "manifest.jsonl").read_text().splitlines()[:9]]
    noise = np.random.default_rng(0).uniform(-1, 1, 32_000)
    for line in lines:
        shutil.copy(CLIPS / line["path"], tmp_path)
        line["path"] = Path(line["path"]).name
    changed = {2: 1e-4 * noise, 5: 0 * noise, 7: np.concatenate([0.1 * noise, 0 * noise, 1e-4 * noise])}
    for index, audio in changed.items():
        path = tmp_path / f"changed-{index}.wav"
        soundfile.write(path, audio, 16_000, subtype="FLOAT")
        lines[index] = {
            "id": f"changed-{index}",
            "path": path.name,
            "text": "",
            "strata": lines[index]["strata"],
        }
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_an_audit_names_clips_that_are_nearly_silent(quiet_clips, capsys):
    out = quiet_clips / "out"
    words = ["--calibration-set", str(quiet_clips), "-o", str(out), "--method", "max", "--seeds", "1"]
    assert main(["audit", str(MODEL), *words]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "clips that are nearly silent ! 2 of 9 lie below -60 dBFS from end to end" in said
    assert "changed-2 -80 dBFS changed-5 nothing but zeros" in said
    report = AuditReport.from_json(json.loads((out / "audit.json").read_text()))
    assert report.quiet == {"changed-2": pytest.approx(1e-4, rel=1e-3), "changed-5": 0.0}
    assert "2 nearly silent" in repr(report)
    page = (out / "audit.html").read_text()
    assert "Clips that are nearly silent: 2 below -60 dBFS from end to end" in page
    assert "<dt>changed-5</dt><dd>loudest sample nothing but zeros</dd>" in page
    assert "changed-7</dt><dd>loudest" not in page


def test_calibration_names_them_too(quiet_clips, tmp_path, capsys):
    words = ["--calibration-set", str(quiet_clips), "--method", "max", "-o", str(tmp_path / "scales.json")]
    assert main(["calibrate", str(MODEL), *words]) == 0
    said = " ".join(capsys.readouterr().out.split())
    named = (
        "2 of 9 calibration clips are nearly silent, below -60 dBFS from end to end: 'changed-2' (-80 dBFS), "
        "'changed-5' (nothing but zeros). Silence says nothing"
    )
    assert f"note: {named}" in said
    clips = trtforge.ClipSet.load(quiet_clips)
    with pytest.warns(RuntimeWarning, match=re.escape(named)):
        trtforge.calibrate(MODEL, clips.feeds(trtforge.LogMel.for_model(MODEL)), method="max")
    result = trtforge.compile(MODEL, clips, precision="int8", method="max", flavor="tensorrt_rtx")
    assert result.remarks[0].startswith(named)


def test_evaluation_names_them_too(quiet_clips, tmp_path, capsys):
    manifest = quiet_clips / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    spoken = [{**line, "text": line["text"] or "silence"} for line in lines]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in spoken))
    named = (
        "2 of 9 evaluated clips are nearly silent, below -60 dBFS from end to end: 'changed-2' (-80 dBFS), "
        "'changed-5' (nothing but zeros). Silence says nothing of how speech is recognised"
    )
    words = ["--clips", str(quiet_clips), "-o", str(tmp_path / "report.json")]
    shutil.copy(MODEL, tmp_path / "candidate.onnx")
    assert main(["evaluate", str(MODEL), *words]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"note: {named}" in said
    assert " vs " not in said
    report = AccuracyReport.load(tmp_path / "report.json")
    assert report.quiet == {"changed-2": pytest.approx(1e-4, rel=1e-3), "changed-5": 0.0}
    baseline = tmp_path / "baseline.json"
    checked = [
        "--reference",
        str(MODEL),
        "--clips",
        str(quiet_clips),
        "--baseline",
        str(baseline),
        "--update",
    ]
    assert main(["check", str(tmp_path / "candidate.onnx"), *checked]) == 0
    assert f"note: {named}" in " ".join(capsys.readouterr().out.split())
    result = trtforge.compile(MODEL, precision="float32", evaluate=quiet_clips, flavor="tensorrt_rtx")
    assert [remark for remark in result.remarks if remark.startswith(named)]
