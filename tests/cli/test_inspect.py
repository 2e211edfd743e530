"""``trtforge inspect`` explains the JSON files of other commands, on narrow terminals too."""

from pathlib import Path

import pytest

from tests.bench.made import make_result, make_row
from tests.checks.made import report_of
from trtforge._files import write_json
from trtforge.bench import save_result
from trtforge.checks import Baseline, CheckConfig, Timings, judge
from trtforge.cli import main
from trtforge.locking import Lock
from trtforge.locking.environment import LockedGpu
from trtforge.locking.lock import LockedEngine


def inspect(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["inspect", str(path)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


def words(text: str) -> str:
    return " ".join(text.split())


def lock() -> Lock:
    engine = LockedEngine(
        plan_sha256="a" * 64,
        manifest_sha256="b" * 64,
        library="tensorrt",
        library_version="8.6.0",
        compute_capabilities=("9.0",),
        precision="int8",
        onnx_sha256="c" * 64,
        scales_sha256=None,
        gpu="NVIDIA H200",
        driver="580.95.05",
    )
    packages = {"numpy": "2.3.5", "onnx": "1.19.0"}
    gpu = LockedGpu("NVIDIA H200", "9.0", "580.95.05")
    return Lock({"asr.engine": engine}, {"asr.onnx": "d" * 64}, packages, "3.11", "Linux x86_64", gpu)


def test_a_lock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock().save(tmp_path / "trtforge.lock.json")
    said = words(inspect(tmp_path / "trtforge.lock.json", capsys))
    assert "NVIDIA H200, compute capability 9.0, driver 580.95.05, Linux x86_64, Python 3.11" in said
    assert "engine asr.engine int8, tensorrt 8.6.0, compute capability 9.0, plan aaaaaaaaaaaa" in said
    assert "file asr.onnx SHA-256 dddddddddddd" in said
    assert "packages numpy 2.3.5, onnx 1.19.0" in said
    assert "trtforge lock --check FILE" in said


@pytest.mark.parametrize("columns", ["60", "80"])
def test_a_benchmark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    rows = [make_row("tensorrt-int8", ms=1.5), make_row("onnxruntime-cuda", ms=123.25)]
    save_result(make_result(*rows), tmp_path / "bench.json")
    said = inspect(tmp_path / "bench.json", capsys)
    assert "2026-01-01, python -m x" in words(said)
    assert "abacus 9000, 2 cores of wheels" in words(said)
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= int(columns)
    for whole in ("TensorRT INT8", "1.50", "31.2", "25.0"):
        assert whole in words(said)


def test_the_result_of_a_check_and_its_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    baseline = Baseline.from_report(report_of([1] * 60))
    result = judge(baseline, report_of([2] * 30 + [1] * 30), CheckConfig())
    write_json(tmp_path / "result.json", result.to_json())
    said = words(inspect(tmp_path / "result.json", capsys))
    assert "check of int8: FAIL" in said
    assert "FAIL: WER 15.00 %, baseline 10.00 %: 5.00 points worse, " in said
    assert "clip clip-000 1 errors then, 2 now" in said
    baseline.save(tmp_path / "baseline.json")
    assert "baseline of int8, beside reference" in words(inspect(tmp_path / "baseline.json", capsys))


def test_timings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Timings((2.0, 4.0, 8.0), (1.0, 1.0, 6.0)).save(tmp_path / "timings.json")
    said = words(inspect(tmp_path / "timings.json", capsys))
    assert "times 3 of each, reference and candidate in turns" in said
    assert "reference 4 ms, the median candidate 1 ms, the median" in said
    assert "by reference 0.500, from 0.250 to 0.750" in said


def test_a_damaged_result_of_a_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(tmp_path / "result.json", {"format": "trtforge.check/1", "candidate": "int8"})
    assert main(["inspect", str(tmp_path / "result.json")]) == 2
    assert "is a damaged result of a check: KeyError('verdict')" in words(capsys.readouterr().err)
