"""Measure the README's first command as a reader runs it: ``python -m benchmarks.bench_first_command``.

Each run is a process of its own that writes to a folder of its own, without what `pip` downloads first.
"""

from __future__ import annotations

import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.environment import describe_run
from trtforge._files import write_json
from trtforge.engine import load_manifest

RESULT = Path(__file__).parent / "results/first_command.json"
README = Path(__file__).parents[1] / "README.md"
ROUNDS = 3
_PACKAGES = ("numpy", "onnx", "onnxruntime", "numba", "librosa", "tensorrt", "tensorrt_rtx")


def readme_command() -> list[str]:
    """Return the words of the README's first command after ``trtforge``, up to where it writes."""
    block = README.read_text(encoding="utf-8").split("<!-- command: try -->")[1].split("```")[1]
    words = shlex.split(block.partition(".venv/bin/trtforge")[2].replace("\\\n", " "))
    return words[: words.index("-o")]


def seconds_and_library(arguments: list[str]) -> tuple[float, str]:
    """Run the command once; return the time that it took and the library that built the engine."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "trtforge", *arguments, "-o", folder]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=README.parent)  # noqa: S603 - our own words
        took = time.perf_counter() - began
        manifest = load_manifest(next(Path(folder).glob("*.engine")))
    return took, f"{manifest.library} {manifest.library_version}"


def main() -> None:
    """Measure, write the JSON, print the median."""
    arguments = readme_command()
    runs = [seconds_and_library(arguments) for _ in range(ROUNDS)]
    times = [took for took, _ in runs]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    result = {
        "format": "trtforge.benchmark.first_command/1",
        "arguments": arguments,
        "seconds": [round(took, 1) for took in times],
        "median_seconds": round(statistics.median(times), 1),
        "peak_bytes_of_one_process": peak,
        "library": runs[0][1],
        "run": describe_run("benchmarks.bench_first_command", [], packages=_PACKAGES),
    }
    write_json(RESULT, result)
    print(f"{result['median_seconds']} s, {peak / 2**20:.0f} MiB, {runs[0][1]}")


if __name__ == "__main__":
    main()
