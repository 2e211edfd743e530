"""Judge pretended CI runs: unchanged, with seeded word errors, and with one broken scale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.runs import Outcome
from trtforge.checks import CheckConfig, Verdict, judge_snr, judge_words
from trtforge.checks.result import CheckResult

Draw = NDArray[np.intp]


def verdict_of(
    accepted: Outcome, now: Outcome, words: NDArray[np.int64], draw: Draw, config: CheckConfig
) -> Verdict:
    """Judge words and outputs of some clips as a check does."""
    share = config.false_alarm_rate / 2
    findings = (
        judge_words(accepted.errors[draw], now.errors[draw], words[draw], config, false_alarm_rate=share),
        judge_snr(accepted.snr_db[draw], now.snr_db[draw], config, false_alarm_rate=share),
    )
    return CheckResult("candidate", findings).verdict


def unchanged(rebuilds: Sequence[Outcome], generator: np.random.Generator) -> Outcome:
    """Take each clip from a rebuild of its own choice: one more rebuild of the same engine."""
    choice = generator.integers(len(rebuilds), size=rebuilds[0].errors.size)
    rows = np.arange(choice.size)
    return Outcome(
        np.stack([outcome.errors for outcome in rebuilds])[choice, rows],
        np.stack([outcome.snr_db for outcome in rebuilds])[choice, rows],
    )


def seeded(
    outcome: Outcome, words: NDArray[np.int64], points: float, generator: np.random.Generator
) -> Outcome:
    """Let words that were right turn wrong by chance, so many that the WER rises by ``points`` on average."""
    right = np.maximum(words - outcome.errors, 0)
    probability = points / 100 * words.sum() / right.sum()
    return Outcome(outcome.errors + generator.binomial(right, probability), outcome.snr_db)


def simulate(
    accepted: Outcome,
    rebuilds: Sequence[Outcome],
    spoiled: Sequence[dict[str, Any]],
    words: NDArray[np.int64],
    *,
    sizes: Sequence[int],
    points: Sequence[float],
    trials: int,
    config: CheckConfig,
) -> list[dict[str, Any]]:
    """Count the verdicts of each kind of run at each number of clips.

    The whole set is taken as it is; fewer or more clips are drawn from it with replacement.
    """
    kinds = ["unchanged", *(f"{value:g} points" for value in points), "one broken scale"]
    rows = []
    for size in sizes:
        for kind_index, kind in enumerate(kinds):
            generator = np.random.default_rng([size, kind_index])
            counts: Counter[str] = Counter()
            for trial in range(trials):
                draw = (
                    np.arange(words.size) if size == words.size else generator.integers(words.size, size=size)
                )
                now = unchanged(rebuilds, generator)
                if kind == "one broken scale":
                    now = spoiled[trial % len(spoiled)]["outcome"]
                elif kind != "unchanged":
                    now = seeded(now, words, points[kind_index - 1], generator)
                counts[verdict_of(accepted, now, words, draw, config)] += 1
            rows.append(
                {
                    "kind": kind,
                    "num_clips": size,
                    "num_words": round(size * float(words.mean())),
                    "trials": trials,
                    **{verdict: counts[verdict] for verdict in ("pass", "fail", "undecided")},
                }
            )
    return rows
