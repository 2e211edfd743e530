"""Time what choosing thresholds takes: 500 histograms, each by all four methods.

``python -m benchmarks.bench_thresholds`` writes the JSON and its lines on the page about cost.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.environment import describe_run
from benchmarks.origin import cores_of, versions_of
from benchmarks.pages import ROOT, fill_between, load_result, shown, table, to_text
from trtforge._files import write_text
from trtforge.calibration import Histogram, Observer, entropy_amax, max_amax, mse_amax, percentile_amax
from trtforge.calibration.histogram import MAX_VIEW_BINS

MODULE = "benchmarks.bench_thresholds"
FORMAT = "trtforge.bench.thresholds/1"
RESULT = ROOT / "benchmarks/results/thresholds.json"
PAGE = ROOT / "docs/how-fast.md"
PART = "thresholds"
NUM_HISTOGRAMS = 500
ROUNDS = 3
METHODS: Mapping[str, Callable[[Histogram], float]] = {
    "entropy": entropy_amax,
    "percentile": percentile_amax,
    "mse": mse_amax,
    "max": max_amax,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, or with ``--redraw`` take the JSON that is there; fill the page and return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given not in ([], ["--redraw"]):
        print(f"usage: python -m {MODULE} [--redraw]", file=sys.stderr)
        return 2
    if not given:
        histograms = five_hundred()
        rounds = [measure(histograms) for _ in range(ROUNDS)]
        write_text(RESULT, to_text({**medians(rounds), "run": describe_run(MODULE, given)}))
    result = load_result(RESULT, kind=FORMAT, module=MODULE)
    write_text(PAGE, fill_between(PAGE.read_text(encoding="utf-8"), lines(result), part=PART))
    print(shown(RESULT), shown(PAGE), sep="\n")
    return 0


def five_hundred() -> list[Histogram]:
    """Count 500 tensors of 20,000 values each, with tails from heavy to nearly normal."""
    rng = np.random.default_rng(7)
    histograms = []
    for _ in range(NUM_HISTOGRAMS):
        observer = Observer()
        observer.observe(rng.standard_t(rng.uniform(2, 20), size=20_000))
        histograms.append(observer.histogram())
    return histograms


def measure(histograms: Sequence[Histogram]) -> dict[str, dict[str, float]]:
    """Choose the threshold of each histogram by each method, after one that makes the common tables.

    Returns
    -------
    ``wall_s`` and ``cpu_s``, seconds by method.
    """
    seconds: dict[str, dict[str, float]] = {"wall_s": {}, "cpu_s": {}}
    for name, method in METHODS.items():
        method(histograms[0])
        wall, processor = time.perf_counter(), time.process_time()
        for histogram in histograms:
            method(histogram)
        seconds["wall_s"][name] = time.perf_counter() - wall
        seconds["cpu_s"][name] = time.process_time() - processor
    return seconds


def medians(rounds: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Return the result: a row for each method, with the median of the rounds."""
    rows = [
        {
            "method": method,
            **{
                key: round(statistics.median(found[key][method] for found in rounds), 4)
                for key in ("wall_s", "cpu_s")
            },
        }
        for method in METHODS
    ]
    return {
        "format": FORMAT,
        "num_histograms": NUM_HISTOGRAMS,
        "num_bins": MAX_VIEW_BINS,
        "rounds": len(rounds),
        "rows": rows,
    }


def lines(result: Mapping[str, Any]) -> str:
    """Return the table in Markdown, and where it is from."""
    rows = [(row["method"], f"{row['wall_s']:.2f}", f"{row['cpu_s']:.2f}") for row in result["rows"]]
    wall_s, cpu_s = (sum(row[key] for row in result["rows"]) for key in ("wall_s", "cpu_s"))
    rows.append(("together", f"{wall_s:.2f}", f"{cpu_s:.2f}"))
    run = result["run"]
    return (
        f"{result['num_histograms']} histograms of {result['num_bins']} bins; medians of {result['rounds']} "
        "rounds.\n\n"
        + table(("Method", "Time, s", "Processor time, s"), rows, right=2)
        + f"\n\n`{run['command']}`, {run['date']}, {cores_of(run['machine'])}; {versions_of(run)}"
    )


if __name__ == "__main__":
    sys.exit(main())
