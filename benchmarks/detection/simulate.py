"""Judge pretended CI runs: unchanged, with seeded word errors, and with one broken scale."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.runs import Outcome
from trtforge.checks import CheckConfig, Verdict, judge_snr, judge_words
from trtforge.checks.result import CheckResult

BROKEN, LOUD = "one broken scale", "one that costs budget and resolution"
RESOLVED = "what can be resolved"
# Of runs with such a change, this share is to be found.
_POWER = 0.99


def resolvable_points(
    accepted: Outcome,
    rebuilds: Sequence[Outcome],
    words: NDArray[np.int64],
    num_clips: int,
    config: CheckConfig,
) -> float:
    """Return the increase of WER, in points, that so many clips find 99 times in 100.

    The sum of the changes has the spread that rebuilds have, and one more for each added error, as seeded
    errors come one by one. With ``c`` the quantiles of false alarms and of misses together, the increase
    ``d`` of ``n`` words solves ``n d = c sqrt(n (v + d))``, where ``v`` is the rebuilds' squared change for a
    word.
    """
    variance, quantiles = _variance(accepted, rebuilds, words), _quantiles(config)
    step = quantiles**2 / (num_clips * float(words.mean()))
    return 100 * (step + math.sqrt(step**2 + 4 * step * variance)) / 2


def clips_for(
    points: float,
    accepted: Outcome,
    rebuilds: Sequence[Outcome],
    words: NDArray[np.int64],
    config: CheckConfig,
) -> int:
    """Return how many clips find an increase 99 times in 100: `resolvable_points`, turned round."""
    rate, variance = points / 100, _variance(accepted, rebuilds, words)
    return math.ceil(_quantiles(config) ** 2 * (variance + rate) / rate**2 / float(words.mean()))


def _variance(accepted: Outcome, rebuilds: Sequence[Outcome], words: NDArray[np.int64]) -> float:
    changes = np.concatenate([outcome.errors - accepted.errors for outcome in rebuilds])
    return float((changes.astype(np.float64) ** 2).mean() / words.mean())


def _quantiles(config: CheckConfig) -> float:
    normal = NormalDist()
    return normal.inv_cdf(1 - config.false_alarm_rate / 2) + normal.inv_cdf(_POWER)


def verdict_of(accepted: Outcome, now: Outcome, words: NDArray[np.int64], config: CheckConfig) -> Verdict:
    """Judge words and outputs as a check does."""
    share = config.false_alarm_rate / 2
    findings = (
        judge_words(accepted.errors, now.errors, words, config, false_alarm_rate=share),
        judge_snr(accepted.snr_db, now.snr_db, config, false_alarm_rate=share),
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
    losses = [float((accepted.snr_db - row["outcome"].snr_db).mean()) for row in spoiled]
    limit = config.snr_budget_db + config.snr_resolution_db
    loud = [row for row, loss in zip(spoiled, losses, strict=True) if loss >= limit]
    kinds = [
        "unchanged",
        *(f"{value:g} points" for value in points),
        RESOLVED,
        BROKEN,
        *([LOUD] if loud else []),
    ]
    rows = []
    for size in sizes:
        resolved = resolvable_points(accepted, rebuilds, words, size, config)
        for kind_index, kind in enumerate(kinds):
            generator = np.random.default_rng([size, kind_index])
            step = resolved if kind == RESOLVED else dict(zip(kinds[1:], points, strict=False)).get(kind)
            counts: Counter[str] = Counter()
            for trial in range(trials):
                draw = (
                    np.arange(words.size) if size == words.size else generator.integers(words.size, size=size)
                )
                then, count = accepted.take(draw), words[draw]
                now = unchanged([outcome.take(draw) for outcome in rebuilds], generator)
                if kind in (BROKEN, LOUD):
                    chosen = spoiled if kind == BROKEN else loud
                    now = chosen[trial % len(chosen)]["outcome"].take(draw)
                elif step is not None:
                    now = seeded(now, count, step, generator)
                counts[verdict_of(then, now, count, config)] += 1
            rows.append(
                {
                    "kind": kind,
                    "num_clips": size,
                    "num_words": round(size * float(words.mean())),
                    "points": None if step is None else round(step, 3),
                    "trials": trials,
                    **{verdict: counts[verdict] for verdict in ("pass", "fail", "undecided")},
                }
            )
    return rows
