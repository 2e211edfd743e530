"""A small result whose numbers can be checked by hand."""

from typing import Any

from benchmarks.calibration_data.measure import FORMAT


def rate(runner: str, errors: int, *, factor: str = "overall", value: str = "all") -> dict[str, Any]:
    """Return one row of 100 words, FP32 making 10 errors; intervals reach two points to either side."""
    wer, increase = errors / 100, (errors - 10) / 100
    reference = runner == "FP32"
    return {
        "factor": factor,
        "value": value,
        "runner": runner,
        "num_clips": 12,
        "num_words": 100,
        "num_errors": errors,
        "wer": wer,
        "wer_interval": [wer - 0.02, wer + 0.02],
        "increase": None if reference else increase,
        "increase_interval": None if reference else [increase - 0.02, increase + 0.02],
    }


def make_result() -> dict[str, Any]:
    """Return a result with two data sets, one method and one condition."""
    errors = {"FP32": 10, "speech/entropy": 11, "noise/entropy": 30}
    return {
        "format": FORMAT,
        "model": {"file": "asr.onnx", "sha256": "a" * 64},
        "test_set": {"name": "clips", "sha256": "b" * 64, "num_clips": 12},
        "methods": ["entropy"],
        "seconds": {"speech": 1.5, "evaluate": 2.0},
        "sources": [
            {"key": "speech", "label": "speech", "description": "all clips", "num_clips": 5},
            {"key": "noise", "label": "white noise", "description": "noise", "num_clips": 5},
        ],
        "thresholds": [
            {"source": "speech", "tensor": "relu", "observed_max": 9.0, "amax": {"entropy": 4.0}},
            {"source": "noise", "tensor": "relu", "observed_max": 3.0, "amax": {"entropy": 1.0}},
        ],
        "outputs": [
            {"runner": "speech/entropy", "output": "logits", "snr_db": 30.0, "argmax_agreement": 0.99},
            {"runner": "noise/entropy", "output": "logits", "snr_db": 9.0, "argmax_agreement": 0.5},
        ],
        "rates": [
            *(rate(name, count) for name, count in errors.items()),
            *(rate(name, count, factor="noise", value="hum") for name, count in errors.items()),
        ],
        "clips": [{"id": "a", "num_words": 100, "errors": errors}],
        "run": {
            "command": "python -m benchmarks.bench_calibration_data",
            "commit": None,
            "date": "2026-01-02",
            "machine": {"processor": "a CPU", "num_cpus": 2},
            "versions": {"python": "3.11.0"},
        },
    }
