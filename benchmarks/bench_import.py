"""Measure how long ``import trtforge`` takes in a fresh interpreter: ``python -m benchmarks.bench_import``.

Each run starts an interpreter that times the import itself; runs of ``import json`` are interleaved, as a
measure of what any import costs on this machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.environment import describe_run
from trtforge._files import write_json

RESULT = Path(__file__).parent / "results/import.json"
ROUNDS = 20
_CODE = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def seconds(module: str) -> float:
    """Import ``module`` in a fresh interpreter and return the time that took."""
    command = [sys.executable, "-c", _CODE.format(module)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own words
    return float(done.stdout)


def main() -> None:
    """Measure, write the JSON, print the medians."""
    times: dict[str, list[float]] = {"trtforge": [], "json": []}
    for _ in range(ROUNDS):
        for module, found in times.items():
            found.append(seconds(module))
    result = {
        "format": "trtforge.benchmark.import/1",
        "median_ms": {module: round(1e3 * statistics.median(found), 2) for module, found in times.items()},
        "max_ms": {module: round(1e3 * max(found), 2) for module, found in times.items()},
        "rounds": ROUNDS,
        "run": describe_run("benchmarks.bench_import", []),
    }
    write_json(RESULT, result)
    print(result["median_ms"])


if __name__ == "__main__":
    main()
