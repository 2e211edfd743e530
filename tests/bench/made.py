"""A network of one convolution, and results by hand."""

from pathlib import Path
from typing import Any

import onnx

from benchmarks.native_calibrator.networks import convolution_stack


def small_network(folder: Path) -> Path:
    """Write two convolutions of 4 channels on 80 bands."""
    path = folder / "small.onnx"
    onnx.save(convolution_stack(2, 4, 3), path)
    return path


def make_row(
    contender: str = "tensorrt-fp16", batch: int = 1, ms: float = 2.0, **more: Any
) -> dict[str, Any]:
    times = {"p50": ms, "p95": 1.1 * ms, "p99": 1.2 * ms, "rounds": [0.99 * ms, ms, 1.01 * ms]}
    rates = {"median": 1000 * batch / ms, "rounds": [990 * batch / ms, 1010 * batch / ms]}
    return {
        "run": 0,
        "network": "net",
        "contender": contender,
        "batch": batch,
        "frames": 100,
        "first_call_s": 0.5,
        "calls": 30,
        "wall_ms": times,
        "device_ms": times,
        "rows_per_s": rates,
        "rtfx": 500.0,
        "energy_j": 0.25,
        "host_bytes": 3 << 20,
        "device_bytes": 5 << 20,
        "gpu_state": {"sm_mhz": [1900, 1980], "temperature_c": [40, 41]},
        **more,
    }


def make_result(*rows: dict[str, Any], gpu: str = "abacus 9000", version: str = "8.6.0") -> dict[str, Any]:
    rows = rows or (make_row(),)
    accuracy = {
        "snr_db": {"hidden": 31.25},
        "argmax_agreement": {"hidden": 0.99},
        "num_clips": 4,
        "nonfinite": 0,
        "wer": {"rate": 0.25, "interval": [0.2, 0.3], "errors": 5, "words": 20},
    }
    return {
        "format": "trtforge.bench/1",
        "runs": [
            {
                "command": "python -m x",
                "commit": "a" * 40,
                "date": "2026-01-01",
                "machine": {"processor": "wheels", "num_cpus": 2, "memory_gib": 4, "gpus": [gpu]},
                "gpu_limits": {"power_limit_w": 700.0},
                "telemetry_missing": None,
                "versions": {"python": "3.11.7"},
                "config": {"rounds": 3},
            }
        ],
        "networks": [
            {
                "run": 0,
                "network": "net",
                "about": "Two layers.",
                "sha256": "b" * 64,
                "inputs": "noise",
                "num_parameters": 1234,
                "profiles": "each",
                "optimization_level": None,
            }
        ],
        "contenders": [
            {
                "run": 0,
                "network": "net",
                "contender": name,
                "python": "3.11.7",
                "versions": {"tensorrt": version},
                "build_s": 12.0,
                "build_peak_rss_bytes": 1 << 30,
                "plan_bytes": 2 << 20,
                "import_s": 1.5,
                "load_s": 0.25,
                "device_bytes": 4 << 20,
                "host_bytes": 2 << 20,
                "accuracy": accuracy,
            }
            for name in dict.fromkeys(row["contender"] for row in rows)
        ],
        "rows": list(rows),
    }
