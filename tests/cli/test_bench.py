"""``trtforge bench``, measured and compared."""

from pathlib import Path

import pytest

from benchmarks.compare import main as compare
from tests.bench.made import make_result, make_row, small_network
from trtforge.bench import load_result, save_result
from trtforge.cli import main

QUICK = ("--rounds", "1", "--burst-s", "0.02", "--latency-s", "0.02", "--threads", "1")


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_network_is_measured_and_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model, output, page = small_network(tmp_path), tmp_path / "bench.json", tmp_path / "bench.html"
    words = (
        "bench",
        model,
        "--frames",
        "20",
        "--batch",
        "1",
        "--contenders",
        "onnxruntime-fp32",
        "tensorrt-fp16",
    )
    status, out, _ = run(capsys, *words, *QUICK, "-o", output, "--html", page)
    assert status == 0
    assert "ONNX Runtime FP32" in out
    assert "TensorRT FP16: left out, needs a GPU" in out
    assert [row["batch"] for row in load_result(output)["rows"]] == [1]
    assert "<h2>small</h2>" in page.read_text()


def test_lengths_stand_beside_their_rows_and_a_run_without_any_fails(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model, output = small_network(tmp_path), tmp_path / "bench [1].json"
    save_result(make_result(make_row(), make_row(ms=3.0, frames=200)), output)
    status, out, _ = run(capsys, "bench", "--compare", output, output)
    assert status == 0
    assert [line.split("FP16")[1].split()[:2] for line in out.splitlines() if "FP16" in line] == [
        ["1", "100"],
        ["1", "200"],
    ]
    words = ("bench", model, "--frames", "20", "--batch", "1", "--contenders", "tensorrt-fp16")
    status, out, _ = run(capsys, *words, *QUICK, "-o", output)
    assert status == 1
    assert "TensorRT FP16: left out, needs a GPU" in out
    assert f"written  {output}" in out


def test_contenders_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "bench", "--list")
    assert status == 0
    assert "tensorrt-int8" in out
    assert len(out.splitlines()) == 11


def test_two_results_are_compared_and_unlike_ones_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    paths = [tmp_path / f"{name}.json" for name in "abc"]
    save_result(make_result(make_row(ms=2.0)), paths[0])
    save_result(make_result(make_row(ms=2.5)), paths[1])
    save_result(make_result(make_row(ms=2.5), version="10.1"), paths[2])
    status, out, _ = run(capsys, "bench", "--compare", *paths[:2])
    assert status == 0
    assert "+25.0 %" in out
    status, _, err = run(capsys, "bench", "--compare", paths[0], paths[2])
    assert status == 2
    assert "ran with tensorrt 8.6.0 and 10.1" in err
    assert "option anyway: --anyway" in err
    assert compare([str(paths[0]), str(paths[2]), "--anyway"]) == 0
    assert "+25.0 %" in capsys.readouterr().out


def test_what_failed_or_is_missing_in_one_result_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = {"contender": "tensorrt-int8"}
    failed = {key: make_row(**other)[key] for key in ("run", "network", "contender", "batch", "frames")}
    save_result(make_result(make_row(), make_row(**other)), tmp_path / "a.json")
    save_result(
        make_result(make_row(), make_row(batch=8), {**failed, "failed": "killed"}), tmp_path / "b.json"
    )
    status, out, _ = run(capsys, "bench", "--compare", tmp_path / "a.json", tmp_path / "b.json")
    assert status == 0
    assert [line for line in out.splitlines() if line.startswith("not compared")] == [
        "not compared: net, TensorRT INT8, batch 1, 100 frames: failed after",
        "not compared: net, TensorRT FP16, batch 8, 100 frames: was not measured before",
    ]


def test_wrong_requests_are_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = small_network(tmp_path)
    for words, message in (
        ((), "no network to measure"),
        ((model, model, "--int8", model), "--int8 is the quantized form of one network"),
        ((model, "--batch", "0", "--frames", "5"), "batch must be 1 or more, got 0"),
        ((model, "--contenders", "someone"), "no contender 'someone'"),
        ((model, "--compare", "a.json", "b.json"), "--compare measures nothing, and"),
    ):
        status, _, err = run(capsys, "bench", *words, "-o", tmp_path / "x.json")
        assert status == 2
        assert message in err
