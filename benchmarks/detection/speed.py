"""Time reference and candidate in processes of their own, many of them, half with a slower candidate."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from trtforge.checks import CheckConfig, Timings, judge_speed, time_side_by_side
from trtforge.checks.decision import MIN_RUNS

# Input of the timed runs: a quarter of a second, short enough for hundreds of runs.
_TIMED_FRAMES = 25


def spinning(call: Callable[[], Any], extra_ms: float) -> Callable[[], None]:
    """Do the work, then keep the processor busy for a while longer."""

    def slower() -> None:
        call()
        end = time.perf_counter_ns() + extra_ms * 1e6
        while time.perf_counter_ns() < end:
            pass

    return slower


def time_run(reference: Path, candidate: Path, rounds: int, slowdown: float) -> tuple[Timings, Timings]:
    """Time one run of the networks as they are, and one with a slower candidate, in this process."""
    from trtforge.runtime import OnnxRunner

    mel = np.random.default_rng(0).normal(size=(1, 80, _TIMED_FRAMES)).astype(np.float32)
    # One thread each: two sessions that wait busily for their threads disturb each other.
    with OnnxRunner(reference, num_threads=1) as first, OnnxRunner(candidate, num_threads=1) as second:

        def run_first() -> Any:
            return first.run({"mel": mel})

        def run_second() -> Any:
            return second.run({"mel": mel})

        plain = time_side_by_side(run_first, run_second, num_rounds=rounds)
        slower = spinning(run_second, slowdown * statistics.median(plain.candidate_ms))
        return plain, time_side_by_side(run_first, slower, num_rounds=rounds)


def measure_speed(
    reference: Path,
    candidate: Path,
    *,
    runs: int,
    rounds: int,
    slowdown: float,
    on_progress: Callable[[int, int], None],
) -> dict[str, list[float]]:
    """Time runs, each in a process of its own; return the ratio of each, plain and slowed down."""
    plain, slow = [], []
    for index in range(runs):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            found = process.submit(time_run, reference, candidate, rounds, slowdown).result()
        plain.append(found[0])
        slow.append(found[1])
        on_progress(index + 1, runs)
    return {
        "unchanged": [round(ratio, 5) for ratio in Timings.of_runs(plain).ratios],
        f"{100 * slowdown:g} % slower": [round(ratio, 5) for ratio in Timings.of_runs(slow).ratios],
    }


def judge_pairs(
    ratios: dict[str, list[float]], config: CheckConfig, *, trials: int, rounds: int
) -> list[dict[str, Any]]:
    """Judge many pairs of sets of runs: a baseline of 8 successive runs, and 8 that follow somewhere later.

    Runs keep their order in time inside a set, so that what lasts for several runs stays in them. Pairs share
    runs, and so are not independent: the share of failures is that of this machine on this day.
    """
    plain, rows = ratios["unchanged"], []
    count = len(plain)
    if count < 2 * MIN_RUNS:
        return []
    for kind, measured in ratios.items():
        generator = np.random.default_rng(0)
        counts: Counter[str] = Counter()
        for _ in range(trials):
            first = int(generator.integers(count))
            second = (first + int(generator.integers(MIN_RUNS, count - MIN_RUNS + 1))) % count
            then, now = (
                [values[(start + at) % count] for at in range(MIN_RUNS)]
                for values, start in ((plain, first), (measured, second))
            )
            counts[judge_speed(then, now, config).verdict] += 1
        rows.append(
            {
                "kind": kind,
                "runs": count,
                "rounds": rounds,
                "trials": trials,
                "ratio": round(statistics.median(measured), 4),
                "spread": round(statistics.pstdev(measured) / statistics.mean(measured), 4),
                **{verdict: counts[verdict] for verdict in ("pass", "fail", "undecided")},
            }
        )
    return rows
