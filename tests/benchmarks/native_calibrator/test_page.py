import json
import re

import pytest

from benchmarks.bench_native_calibrator import PAGE, RESULT, fill, load, merge
from benchmarks.native_calibrator.compare import compare
from benchmarks.native_calibrator.measure import compared_rows
from benchmarks.native_calibrator.statistics import summarise_times
from benchmarks.pages import BEGIN, END, to_text
from tests.benchmarks.native_calibrator.cases import evidence, laplace, own_amax
from trtforge.errors import ConfigError

A, B = laplace(1.0, 0), laplace(1.0, 1)
RUN = {
    "command": "python -m x",
    "date": "2026-01-01",
    "machine": {"processor": "abacus", "num_cpus": 2, "gpus": ["a GPU"]},
    "versions": {"tensorrt": "8.6.0"},
}


def make_result():
    amax = own_amax(A, B)
    found = compare(
        evidence({"x": amax, "y": 1.5 * amax, "z": 0.3 * amax}, {"x": (A, B), "y": (A, B), "z": (A, B)},
                 without_tf32={"x": amax, "y": amax, "z": 0.3 * amax}, with_bins=True)
    )  # fmt: skip
    summary = {
        "network": "recogniser",
        "title": "the bundled recogniser",
        "failed": None,
        "num_rows": 8,
        "shape": [4, 80, 512],
        "library": "tensorrt 8.6.0",
        "clocks": ["1980 MHz", None],
    }
    times = summarise_times({"native": [2.0, 2.0], "ours": [1.9, 1.9], "native, again": [2.0, 2.0]}, "native")
    engines = [
        {"network": "recogniser", "engine": name, "layer_precisions": counts, "snr_db": 25.04}
        for name, counts in (("native", {}), ("ours", {"int8": 13}))
    ]
    rate = {
        "network": "recogniser",
        "num_clips": 240,
        "num_words": 2644,
        "num_errors": 10,
        "wer": 0.1,
        "wer_interval": [0.09, 0.11],
    }
    rates = [
        {**rate, "runner": "FP32", "against": None, "increase": None, "increase_interval": None},
        {**rate, "runner": "ours", "against": "native", "increase": 0.001, "increase_interval": [-0.001, 0]},
    ]
    rows = compared_rows("recogniser", found, summary)
    rows["networks"][0]["run"] = RUN
    named = [{"network": "recogniser", **row} for row in times]
    result = merge({}, "recogniser", {**rows, "engines": engines, "times": named, "rates": rates})
    broken = {"network": "convolutions", "title": "a stack", "failed": "parse: BuildError: no", "run": RUN}
    left_out = {"network": "whisper_tiny_encoder", "title": "an encoder", "failed": None, "run": RUN}
    result = merge(result, "convolutions", {"networks": [broken]})
    return merge(result, "whisper_tiny_encoder", {"networks": [left_out]})


def test_the_page_and_the_result_agree():
    page = PAGE.read_text(encoding="utf-8")
    result = load(RESULT) if RESULT.exists() else None
    assert fill(page, result) == page, "python -m benchmarks.bench_native_calibrator --redraw --page"


def test_the_interpretation_is_about_the_network_that_was_measured():
    said = re.search(r"<!-- interpretation of network ([0-9a-f]{12}): begin -->", PAGE.read_text("utf-8"))
    (row,) = (row for row in load(RESULT)["networks"] if row["network"] == "recogniser")
    assert said
    assert row["model_sha256"].startswith(said[1]), "rewrite what the page says about the numbers"


def test_the_result_names_no_folder_of_a_machine():
    assert not re.search(r'[" =]/', RESULT.read_text("utf-8"))


def test_tables_by_hand():
    page = fill(f"before\n{BEGIN}\nstale\n{END}\nafter\n", json.loads(to_text(make_result())))
    for line in (
        "| the bundled recogniser | 8 of 80 x 512 | 3 | 33.3 | 33.3 | 1.000 (0.300 to 1.500) | 1.500 |",
        "| a stack | parse: BuildError: no |  |  |  |  |  |",
        "| an encoder | not measured yet |  |  |  |  |  |",
        "| `tf32` | without TF32, TensorRT chooses the same: ",
        " | 1 |\n| none found |  | 1 |\n",
        "* recogniser, `y`: TensorRT's / ours 1.5000, tf32",
        "* recogniser, `z`: TensorRT's / ours 0.3000, no explanation",
        "| `ours` | trtforge: bins from the largest magnitude of all, whatever the order | 33.3 |",
        "| recogniser | calibrated by TensorRT | not told | 2.0000 (2.0000 to 2.0000) | 1 | 25.0 |",
        "| recogniser | the first once more |  | 2.0000",
        "| recogniser | from trtforge's cache | 13 int8 | 1.9000 (1.9000 to 1.9000) | "
        "0.9500 (0.9500 to 0.9500) | 25.0 |",
        "| FP32 |  | 10 | 10.00 (9.00 to 11.00) |  |",
        "| from trtforge's cache | calibrated by TensorRT | 10 | 10.00 (9.00 to 11.00) | "
        "+0.10 (-0.10 to 0.00) |",
        "* recogniser: `python -m x`, 2026-01-01, tensorrt 8.6.0, a GPU, 2 cores of abacus; tensorrt 8.6.0",
        "  * clocks before and after timing: 1980 MHz",
        "  * failed: parse: BuildError: no",
        "* whisper_tiny_encoder: not measured yet",
    ):
        assert line in page, line
    assert "stale" not in page
    with pytest.raises(ConfigError, match="the page must hold"):
        fill("no markers", make_result())
