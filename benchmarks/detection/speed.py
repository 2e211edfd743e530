"""Time reference and candidate in turns, many runs of it, half of them with a slower candidate."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from trtforge.checks import CheckConfig, judge_speed, time_side_by_side


def spinning(call: Callable[[], Any], extra_ms: float) -> Callable[[], None]:
    """Do the work, then keep the processor busy for a while longer."""

    def slower() -> None:
        call()
        end = time.perf_counter_ns() + extra_ms * 1e6
        while time.perf_counter_ns() < end:
            pass

    return slower


def measure_speed(
    reference: Callable[[], Any],
    candidate: Callable[[], Any],
    *,
    runs: int,
    rounds: int,
    slowdown: float,
    config: CheckConfig,
    on_progress: Callable[[int, int], None],
) -> list[dict[str, Any]]:
    """Judge each run, as it is and slowed down, against the run taken half of all runs before or after it."""
    first = time_side_by_side(reference, candidate, num_rounds=rounds)
    slower = spinning(candidate, slowdown * statistics.median(first.candidate_ms))
    plain, slow = [], []
    for index in range(runs):
        plain.append(time_side_by_side(reference, candidate, num_rounds=rounds).ratios)
        slow.append(time_side_by_side(reference, slower, num_rounds=rounds).ratios)
        on_progress(index + 1, runs)
    medians = [statistics.median(ratios) for ratios in plain]
    rows = []
    for kind, measured in (("unchanged", plain), (f"{100 * slowdown:g} % slower", slow)):
        counts: Counter[str] = Counter(
            judge_speed(plain[(index + runs // 2) % runs], ratios, config).verdict
            for index, ratios in enumerate(measured)
        )
        found = statistics.median(statistics.median(ratios) for ratios in measured)
        rows.append(
            {
                "kind": kind,
                "runs": runs,
                "rounds": rounds,
                "ratio": round(found, 4),
                "spread_of_medians": round(statistics.pstdev(medians) / statistics.mean(medians), 4),
                **{verdict: counts[verdict] for verdict in ("pass", "fail", "undecided")},
            }
        )
    return rows
