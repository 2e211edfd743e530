"""Find the assignment with the most work in INT8 that meets a budget."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from trtforge.assignment.budget import AccuracyBudget
from trtforge.assignment.score import Score
from trtforge.assignment.times import ChoiceTime

# Scores several choices, each the names of the groups that are left in floating point.
ScoreAll: TypeAlias = Callable[[Sequence[frozenset[str]]], Sequence[Score]]


@dataclass(frozen=True)
class Point:
    """One choice.

    Parameters
    ----------
    left_out : groups in floating point.
    int8_share : share of the multiply-accumulates of all groups that is INT8.
    score : what it costs.
    excess : the bounds that it breaks, in words; none where it meets the budget.
    time : what its engine takes, where that was measured.
    """

    left_out: tuple[str, ...]
    int8_share: float
    score: Score
    excess: tuple[str, ...]
    time: ChoiceTime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "left_out": list(self.left_out),
            "int8_share": self.int8_share,
            "excess": list(self.excess),
            "score": self.score.to_json(),
            **({"time": self.time.to_json()} if self.time else {}),
        }


@dataclass(frozen=True)
class Frontier:
    """What was tried, and what was chosen.

    Parameters
    ----------
    points : groups left out one after another in the order of their price, from all in INT8 to none.
    refined : choices tried afterwards, in which one group came back to INT8.
    chosen : the point with the most work in INT8 that meets the budget, or by `time_frontier` a faster one.
    """

    points: tuple[Point, ...]
    refined: tuple[Point, ...]
    chosen: Point


def choose_assignment(
    shares: Mapping[str, float],
    order: Sequence[str],
    budget: AccuracyBudget,
    score_all: ScoreAll,
    *,
    max_points: int = 32,
) -> Frontier:
    """Leave out groups in order until the budget is met, then take back those that it can bear.

    A pure function of what ``score_all`` returns: the same scores give the same choice.

    Parameters
    ----------
    shares : group to its share of the work, in graph order.
    order : groups, those first that are better left out (`rank`).
    budget : what must hold.
    score_all : scores choices; called with several at once, so that they can run side by side.
    max_points : most points of the frontier; of more groups, evenly spaced ones are tried.
    """

    def point(left_out: Collection[str], score: Score) -> Point:
        share = sum(share for name, share in shares.items() if name not in left_out)
        names = tuple(name for name in shares if name in left_out)
        return Point(names, share, score, budget.excess(score))

    counts = _spread(len(order), max_points)
    choices = [frozenset(order[:count]) for count in counts]
    scores = list(score_all(choices[:-1]))
    # With everything left out there is nothing to run.
    scores.append(Score.exact(scores[0]))
    points = [point(choice, score) for choice, score in zip(choices, scores, strict=True)]
    chosen = next(found for found in points if not found.excess)
    refined: list[Point] = []
    # The group that brings most work back comes first.
    for name in sorted(chosen.left_out, key=lambda name: (-shares[name], list(shares).index(name))):
        fewer = frozenset(chosen.left_out) - {name}
        if not fewer:
            continue
        (score,) = score_all([fewer])
        refined.append(point(fewer, score))
        if not refined[-1].excess:
            chosen = refined[-1]
    return Frontier(tuple(points), tuple(refined), chosen)


def _spread(num_groups: int, max_points: int) -> list[int]:
    """Return how many groups each point leaves out, from none to all."""
    if num_groups < max_points:
        return list(range(num_groups + 1))
    steps = max(2, max_points) - 1
    return list(dict.fromkeys(round(index * num_groups / steps) for index in range(steps + 1)))
