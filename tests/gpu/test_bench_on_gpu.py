"""Engines take part in a benchmark; skipped where `trtforge.nvidia` finds nothing to run them with."""

import math
from pathlib import Path
from typing import Any

import pytest

from tests.bench.made import small_network
from tests.gpu.needs import why_not
from trtforge._optional import is_installed
from trtforge.bench import BenchConfig, Case, Subject, run_bench
from trtforge.bench.contenders import select_contenders
from trtforge.nvidia.devices import l2_cache_bytes
from trtforge.nvidia.telemetry import Telemetry

_REASON = why_not("onnxruntime")
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))

QUICK = BenchConfig(rounds=2, latency_s=0.05, burst_s=0.1, settle_s=0.5)


def _snr_db(about: dict[str, Any]) -> float:
    """Return the SNR of the output; infinite where it is identical, which the JSON tells as none."""
    assert about["accuracy"]["nonfinite"] == 0
    found = about["accuracy"]["snr_db"]["hidden"]
    return math.inf if found is None else float(found)


def test_engines_are_built_once_timed_by_the_gpu_and_compared(tmp_path: Path) -> None:
    subject = Subject("small", small_network(tmp_path), (Case(1, 64), Case(4, 64)))
    chosen = select_contenders(["tensorrt-fp32", "tensorrt-fp16"])
    result = run_bench([subject], chosen, QUICK, folder=tmp_path / "engines")
    about = {row["contender"]: row for row in result["contenders"]}
    assert all("failed" not in row for row in (*result["contenders"], *result["rows"]))
    assert _snr_db(about["tensorrt-fp32"]) > 80
    assert _snr_db(about["tensorrt-fp16"]) > 40
    for row in result["rows"]:
        assert row["launched_by"] == "CUDA graph"
        assert 0 < row["device_ms"]["p50"] < row["wall_ms"]["p50"]
        assert row["set_bytes"] >= 2 * (l2_cache_bytes() or 0)
    plans = sorted((tmp_path / "engines").glob("*.engine"))
    assert len(plans) == 2
    before = [plan.stat().st_mtime_ns for plan in plans]
    again = run_bench([subject], chosen, QUICK, folder=tmp_path / "engines")
    assert [plan.stat().st_mtime_ns for plan in plans] == before
    assert again["contenders"][0]["build_s"] == about["tensorrt-fp32"]["build_s"]


@pytest.mark.skipif(not is_installed("pynvml"), reason="nvidia-ml-py is not installed")
def test_nvml_tells_memory_clocks_and_energy() -> None:
    with Telemetry() as telemetry:
        assert telemetry.missing is None
        assert (telemetry.used_bytes() or 0) > 0
        assert telemetry.state()["sm_mhz"] > 0
        assert telemetry.limits()["power_limit_w"] > 0
    assert telemetry.used_bytes() is None
