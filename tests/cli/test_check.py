"""``trtforge check``, as a CI job runs it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.bundled import MODEL, TEST_SET
from tests.checks.made import report_of
from trtforge.checks import Baseline, Timings
from trtforge.cli import main
from trtforge.errors import ConfigError
from trtforge.pipeline import evaluate_candidate, measure_baseline

COARSE = ("--wer-resolution", "15")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    lines = (TEST_SET / "manifest.jsonl").read_text().splitlines()[:8]
    (tmp_path / "clips/audio").mkdir(parents=True)
    for line in lines:
        shutil.copy(TEST_SET / json.loads(line)["path"], tmp_path / "clips/audio")
    (tmp_path / "clips/manifest.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path / "clips"


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_network_is_held_against_what_it_was(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trtforge.pipeline.checking._TIMED_CLIPS", 1)  # more would say no more here
    baseline = tmp_path / "asr.json"
    words = ("check", MODEL, "--baseline", baseline, "--reference", MODEL, "--clips", clips)
    status, out, _ = run(capsys, *words, "--update", "--time", "8")
    assert (status, out.splitlines()[-1]) == (0, f"written  {baseline}")
    status, out, _ = run(capsys, *words, *COARSE, "-o", tmp_path / "result.json")
    assert status == 0
    assert "asr_en.onnx: pass" in out
    assert "SNR of logits 120.0 dB, baseline 120.0 dB" in out
    assert "note: speed was not judged: no timings with the candidate" in out
    assert json.loads((tmp_path / "result.json").read_text())["verdict"] == "pass"
    status, out, _ = run(capsys, *words)
    assert status == 3
    assert "8 clips do not tell it from 0.50 points; an unchanged one needs about" in out
    status, out, _ = run(capsys, "inspect", baseline)
    assert status == 0
    assert "asr_en.onnx, beside reference" in out


def saved(tmp_path: Path) -> tuple[Path, Path]:
    """Write a baseline, and the report of a candidate that is worse."""
    Baseline.from_report(report_of([1] * 60)).save(tmp_path / "baseline.json")
    report_of([2] * 30 + [1] * 30).save(tmp_path / "accuracy.json")
    return tmp_path / "accuracy.json", tmp_path / "baseline.json"


def test_a_report_made_elsewhere_fails_in_every_form(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, baseline = saved(tmp_path)
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    status, out, _ = run(capsys, "check", report, "--baseline", baseline, "--junit", tmp_path / "check.xml")
    assert status == 1
    assert "int8: FAIL" in out
    assert f"::error file={baseline},title=int8%3A WER::WER 15.00 %25, baseline 10.00 %25: 5.00" in out
    assert "5.00 points worse" in (tmp_path / "check.xml").read_text()
    assert summary.read_text().startswith("before\n### int8: FAIL\n")
    assert "| clip-000 | 1 | 2 | said | heard |" in summary.read_text()


def test_a_baseline_of_a_report_made_elsewhere_names_no_machine(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report_of([1] * 20).save(tmp_path / "accuracy.json")
    words = ("check", tmp_path / "accuracy.json", "--baseline", tmp_path / "baseline.json", "--update")
    assert run(capsys, *words)[0] == 0
    assert Baseline.load(tmp_path / "baseline.json").environment == {}
    assert "onnxruntime" in measure_baseline(report_of([1] * 20)).environment


@pytest.mark.parametrize("option", ["--junit", "--summary", "-o"])
def test_what_is_read_is_not_written_over(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str
) -> None:
    report, baseline = saved(tmp_path)
    before = baseline.read_bytes()
    status, _, err = run(capsys, "check", report, "--baseline", baseline, option, baseline)
    assert status == 2
    assert f"--baseline and {'--output' if option == '-o' else option} are one file" in err
    assert baseline.read_bytes() == before


def test_the_summary_may_go_where_no_file_can_be_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report, baseline = saved(tmp_path)
    words = ("check", report, "--baseline", baseline, "--summary", "/proc/self/fd/1")
    assert run(capsys, *words)[0] == 1


def test_an_update_says_what_it_did_not_write(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    report, baseline = saved(tmp_path)
    junit = tmp_path / "check.xml"
    status, out, _ = run(capsys, "check", report, "--baseline", baseline, "--update", "--junit", junit)
    assert status == 0
    assert "note: nothing was checked, and nothing written to --junit" in out
    assert not junit.exists()


def test_a_candidate_is_not_called_as_its_reference() -> None:
    with pytest.raises(ConfigError, match="a candidate cannot be called 'reference'"):
        evaluate_candidate(str(MODEL), reference=str(MODEL), clips=str(TEST_SET), name="reference")


def test_a_budget_in_points_is_taken_as_such(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    report, baseline = saved(tmp_path)
    words = ("check", report, "--baseline", baseline, "--wer-resolution", "4")
    assert run(capsys, *words, "--wer-budget", "2")[0] == 1
    assert run(capsys, *words, "--wer-budget", "5")[0] == 0


def test_timings_from_a_file_are_judged(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rounds = tuple(5 + 0.001 * index for index in range(20))
    timings = Timings((10.0,) * 20, rounds)
    Baseline.from_report(report_of([1] * 240), timings=timings).save(tmp_path / "baseline.json")
    report_of([1] * 240).save(tmp_path / "accuracy.json")
    Timings((10.0,) * 20, tuple(1.06 * x for x in rounds)).save(tmp_path / "slow.json")
    timings.save(tmp_path / "same.json")
    words = ("check", tmp_path / "accuracy.json", "--baseline", tmp_path / "baseline.json", "--timings")
    assert run(capsys, *words, tmp_path / "same.json")[0] == 0
    status, out, _ = run(capsys, *words, tmp_path / "slow.json")
    assert status == 1
    assert "6.00 % worse, 2.00 % allowed" in out
    assert run(capsys, *words, tmp_path / "slow.json", "--speed-budget", "8")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((MODEL, "--baseline", "none.json"), "no baseline at none.json"),
        ((MODEL, "--baseline", "baseline.json"), "option reference: --reference"),
        (("accuracy.json", "--baseline", "accuracy.json"), "is no baseline"),
        (
            ("accuracy.json", "--baseline", "baseline.json", "--time", "9"),
            "--time needs a candidate",
        ),
        (
            (MODEL, "--baseline", "baseline.json", "--reference", MODEL, "--clips", ".", "--time", "7"),
            "--time must be 8 runs or more, got 7",
        ),
        (
            ("accuracy.json", "--baseline", "baseline.json", "--clips", TEST_SET),
            "accuracy.json is a report: --reference and --clips say nothing beside it",
        ),
        (
            ("accuracy.json", "--baseline", "accuracy.json", "--update"),
            "MODEL and --baseline are one file, accuracy.json",
        ),
        (
            ("accuracy.json", "--baseline", "baseline.json", "-o", "x.xml", "--junit", "x.xml"),
            "--output and --junit are one file, x.xml",
        ),
        (
            ("accuracy.json", "--baseline", "baseline.json", "--summary", "baseline.json/s.md"),
            "a file cannot be read or written",
        ),
        (
            ("accuracy.json", "--baseline", "baseline.json", "--misses", "60"),
            "option miss_rate: --misses",
        ),
    ],
)
def test_errors_say_what_is_wrong(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[object, ...],
    message: str,
) -> None:
    saved(tmp_path)
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capsys, "check", *words)
    assert status == 2
    assert message in " ".join(err.split())
