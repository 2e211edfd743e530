"""Simulate checks of speed on machines whose noise hangs together over rounds and whole runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.checks import CheckConfig, judge_speed

NUM_RUNS, NUM_ROUNDS = 8, 10
# What starting a process takes, in rounds: the machine's noise goes on meanwhile.
_GAP = 20


@dataclass(frozen=True)
class Noise:
    """How the ratio of two times scatters, as fractions.

    Parameters
    ----------
    name : in words.
    of_round : standard deviation of a round.
    kept : share of a round's deviation that the next one has, too; 0 for rounds that are independent.
    of_run : standard deviation of what a whole run has in common.
    """

    name: str
    of_round: float
    kept: float = 0.0
    of_run: float = 0.0

    def ratios(self, generator: np.random.Generator, runs: int, rounds: int) -> NDArray[np.float64]:
        """Draw runs one after another on one machine; float [runs, rounds].

        Rounds are an autoregressive process of the first order that goes on between runs.
        """
        length = runs * (rounds + _GAP)
        pushes = generator.normal(0, self.of_round * (1 - self.kept**2) ** 0.5, length)
        state, states = generator.normal(0, self.of_round), np.empty(length)
        for at, push in enumerate(pushes):
            states[at] = state = self.kept * state + push
        shifts = generator.normal(0, self.of_run, (runs, 1)) if self.of_run else np.zeros((runs, 1))
        kept: NDArray[np.float64] = np.exp(states.reshape(runs, -1)[:, :rounds] + shifts)
        return kept


NOISES = (
    Noise("rounds independent, 1 %", 0.01),
    Noise("rounds that hang together, 1 %", 0.01, kept=0.9),
    Noise("runs that differ, 1 %", 0.005, of_run=0.01),
    Noise("both, and runs that differ by 2 %", 0.01, kept=0.9, of_run=0.02),
)


def simulate_speed(config: CheckConfig, *, trials: int, slowdown: float) -> list[dict[str, Any]]:
    """Count verdicts of unchanged candidates, of such as are just allowed, and of slower ones.

    Each pair of sets is judged by its runs, as a check does, and for comparison by the rounds of one long
    run, as many as there are in all runs, taken to be independent.
    """
    rows = []
    changes = {
        "unchanged": 0.0,
        "just allowed": config.speed_budget,
        f"{100 * slowdown:g} % slower": slowdown,
    }
    for noise in NOISES:
        for kind, change in changes.items():
            generator = np.random.default_rng([NOISES.index(noise), list(changes).index(kind)])
            found: dict[str, Counter[str]] = {"runs": Counter(), "rounds": Counter()}
            for _ in range(trials):
                then, now = (noise.ratios(generator, NUM_RUNS, NUM_ROUNDS) for _ in range(2))
                now = now * (1 + change)
                verdict = judge_speed(np.median(then, axis=1), np.median(now, axis=1), config).verdict
                found["runs"][verdict] += 1
                then, now = (noise.ratios(generator, 1, NUM_RUNS * NUM_ROUNDS)[0] for _ in range(2))
                found["rounds"][judge_speed(then, now * (1 + change), config).verdict] += 1
            for judged_by, counts in found.items():
                rows.append(
                    {
                        "noise": noise.name,
                        "kind": kind,
                        "judged_by": judged_by,
                        "trials": trials,
                        **{verdict: counts[verdict] for verdict in ("pass", "fail", "undecided")},
                    }
                )
    return rows
