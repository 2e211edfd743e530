import json
from pathlib import Path

import pytest

from benchmarks.bench_native_calibrator import FORMAT, RESULT, compared_again, main, merge
from tests.benchmarks.native_calibrator.cases import evidence, laplace, own_amax
from trtforge.errors import ReportError
from trtforge.nvidia import gpus

A, B = laplace(1.0, 0), laplace(1.0, 1)


def test_one_networks_rows_are_replaced_and_others_kept():
    old = merge({}, "convolutions", {"times": [{"network": "convolutions", "median_ms": 1.0}]})
    new = merge(old, "recogniser", {"times": [{"network": "recogniser", "median_ms": 2.0}]})
    assert new["format"] == FORMAT
    assert [row["network"] for row in new["times"]] == ["recogniser", "convolutions"]
    again = merge(new, "recogniser", {"times": [{"network": "recogniser", "median_ms": 3.0}]})
    assert [row["median_ms"] for row in again["times"]] == [3.0, 1.0]


def test_scales_are_compared_anew_from_the_evidence(tmp_path, capsys):
    evidence({"x": own_amax(A, B)}, {"x": (A, B)}).save(tmp_path / "recogniser")
    summary = {"network": "recogniser", "title": "it", "failed": None, "seconds": {"load": 1.0}}
    times = [{"network": "recogniser", "median_ms": 2.0}]
    output = tmp_path / "result.json"
    output.write_text(json.dumps(merge({}, "recogniser", {"networks": [summary], "times": times})))
    assert main(["--again", "--output", str(output), "--evidence", str(tmp_path)]) == 0
    result = json.loads(output.read_text())
    (row,) = result["networks"]
    assert (row["num_compared"], row["num_within"], row["seconds"]) == (1, 1, {"load": 1.0})
    assert result["times"] == times
    assert [row["tensor"] for row in result["tensors"]] == ["x"]
    with pytest.raises(ReportError, match="holds no evidence"):
        compared_again(result, tmp_path / "elsewhere")


def test_a_missing_result_says_how_to_make_one(tmp_path, capsys):
    assert main(["--redraw", "--page", "--output", str(tmp_path / "nothing.json")]) == 1
    assert "no result at" in capsys.readouterr().err


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path, capsys):
    published = RESULT.read_bytes() if RESULT.exists() else None
    output = Path(tmp_path / "result.json")
    assert main(["--output", str(output), "--evidence", str(tmp_path)]) == 1
    assert "a GPU is needed to calibrate with TensorRT" in capsys.readouterr().err
    assert not output.exists()
    assert (RESULT.read_bytes() if RESULT.exists() else None) == published
