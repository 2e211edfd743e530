"""Compare with TensorRT's calibrator on a small scale; skipped where there is nothing to run it with."""

import json

import pytest

from benchmarks.bench_native_calibrator import main
from benchmarks.native_calibrator.calibrate import calibrating_flavor
from benchmarks.native_calibrator.networks import RECOGNISER
from trtforge._optional import is_installed
from trtforge.errors import NoGpuError
from trtforge.model import load_model


def _why_not():
    try:
        calibrating_flavor()
    except NoGpuError as error:
        return error.message
    needed = ("cuda.bindings.runtime", "onnxruntime", "numba", "soundfile", "jiwer")
    missing = [module for module in needed if not is_installed(module)]
    return f"{', '.join(missing)} not installed" if missing else None


pytestmark = pytest.mark.skipif(_why_not() is not None, reason=str(_why_not()))


def test_a_trial_on_the_recogniser_fills_every_table(tmp_path):
    output = tmp_path / "result.json"
    trial = ["--networks", "recogniser", "--limit", "2", "--level", "1", "--repetitions", "20"]
    assert main([*trial, "--output", str(output), "--evidence", str(tmp_path)]) == 0
    result = json.loads(output.read_text())
    (summary,) = result["networks"]
    assert summary["failed"] is None
    assert summary["num_compared"] >= 25
    assert summary["num_within_without_tf32"] is not None
    assert summary["num_over_bins"] == summary["num_compared"]
    assert summary["num_equal_over_bins"] >= 0.95 * summary["num_over_bins"]
    assert len(result["tensors"]) == summary["num_compared"]
    assert {row["engine"] for row in result["times"]} == {"native", "ours", "native, again"}
    assert all(row["median_ms"] > 0 for row in result["times"])
    convolutions = sum(node.op_type == "Conv" for node in load_model(RECOGNISER).graph.node)
    assert [row["layer_precisions"].get("int8", 0) >= convolutions for row in result["engines"]] == [True] * 2
    assert {row["runner"] for row in result["rates"]} == {"FP32", "native", "ours"}
    before = result["tensors"]
    assert main(["--again", "--output", str(output), "--evidence", str(tmp_path)]) == 0
    assert json.loads(output.read_text())["tensors"] == before
