import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import bench_native_calibrator
from benchmarks.bench_native_calibrator import (
    FORMAT,
    RESULT,
    ROOT,
    compared_again,
    main,
    merge,
    portable,
    told,
)
from tests.benchmarks.native_calibrator.cases import binned, evidence, laplace, own_amax
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
    evidence({"x": own_amax(A, B)}, {"x": (A, B)}, with_bins=True).save(tmp_path / "recogniser")
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
    assert told(row) == (
        "recogniser: 1 of 1 scales within one bin (1 of 1 of the network's own names), "
        f"{row['num_equal_over_bins']} of 1 equal over TensorRT's own bins, 0 of those beyond a bin explained"
    )
    with pytest.raises(ReportError, match="holds no evidence"):
        compared_again(result, tmp_path / "elsewhere")


def test_counts_over_tensorrts_bins_are_made_where_they_are_missing(tmp_path, monkeypatch):
    held = evidence({"x": own_amax(A, B)}, {"x": (A, B)})
    held.save(tmp_path / "recogniser")
    asked = []

    def made(without, summary):
        asked.append(summary["network"])
        return replace(without, bins={"x": binned(A, B)})

    monkeypatch.setattr(bench_native_calibrator, "with_bins", made)
    result = merge({}, "recogniser", {"networks": [{"network": "recogniser"}]})
    for _ in range(2):
        (row,) = compared_again(result, tmp_path)["networks"]
        assert row["num_over_bins"] == 1
    assert asked == ["recogniser"]


def test_no_folder_of_the_machine_is_recorded():
    given = ["--output", str(ROOT / "out/x.json"), "--evidence=/somewhere/else", "--limit", "2", "out/y"]
    assert portable(given) == ["--output", "out/x.json", "--evidence=else", "--limit", "2", "out/y"]


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
