"""What the choices of a frontier take on a GPU, and which of those that a budget allows is fastest."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from trtforge.errors import BuildError, DeviceLostError, ExecutionError, PrecisionError, QuantizationError
from trtforge.ratios import Ratios, sum_up

if TYPE_CHECKING:
    from trtforge.assignment.choose import Frontier, Point

# Builds the choice that leaves these groups in floating point, and times it beside FP16.
TimeChoice: TypeAlias = Callable[[tuple[str, ...]], Ratios]


@dataclass(frozen=True)
class ChoiceTime:
    """Time of an engine by that of FP16.

    Parameters
    ----------
    ratio : geometric mean over the shapes of the medians over rounds; None where it was not built or did not
        run.
    low, high : the same of the quartiles.
    error : why it could not be timed, or None.
    """

    ratio: float | None
    low: float | None = None
    high: float | None = None
    error: str | None = None

    @classmethod
    def of(cls, ratios: Ratios) -> ChoiceTime:
        """Sum up rounds; two or more at each shape, and one shape or more."""
        spreads = sum_up(ratios).values()
        return cls(
            ratio=statistics.geometric_mean(spread.median for spread in spreads),
            low=statistics.geometric_mean(spread.low for spread in spreads),
            high=statistics.geometric_mean(spread.high for spread in spreads),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "ratio": None if self.ratio is None else round(self.ratio, 4),
            "low": None if self.low is None else round(self.low, 4),
            "high": None if self.high is None else round(self.high, 4),
            "error": self.error,
        }


# FP16 itself, which a choice that leaves out everything is.
FLOAT16 = ChoiceTime(1.0, 1.0, 1.0)


def time_frontier(frontier: Frontier, time_choice: TimeChoice, *, margin: float = 0.02) -> Frontier:
    """Time every choice of a frontier once, and choose by time among those that meet the budget.

    Parameters
    ----------
    frontier : what was scored.
    time_choice : builds and times one choice; what it raises of building, quantizing or running is noted.
    margin : what a choice must gain on the one with more work in INT8, a share of the time of FP16.

    Returns
    -------
    The same points with their times. ``chosen`` stays the one with the most work in INT8 that meets the
    budget, unless another one that meets it is faster by more than the margin; of those the fastest.

    Raises
    ------
    BuildError : no choice that the budget allows could be built and timed, and FP16 is none of them.
    InputError : ``time_choice`` timed a choice at no shape, or in fewer than two rounds.
    DeviceLostError : the GPU was lost.
    """
    known: dict[tuple[str, ...], ChoiceTime] = {}

    def timed(point: Point) -> Point:
        if point.left_out not in known:
            known[point.left_out] = _time(time_choice, point)
        return replace(point, time=known[point.left_out])

    points, refined = tuple(map(timed, frontier.points)), tuple(map(timed, frontier.refined))
    chosen = _fastest(timed(frontier.chosen), (*points, *refined), margin)
    return replace(frontier, points=points, refined=refined, chosen=chosen)


def _time(time_choice: TimeChoice, point: Point) -> ChoiceTime:
    if point.int8_share == 0:
        return FLOAT16
    try:
        return ChoiceTime.of(time_choice(point.left_out))
    except DeviceLostError:
        raise  # nothing runs in this process any more
    except (BuildError, ExecutionError, PrecisionError, QuantizationError) as error:
        return ChoiceTime(None, error=error.message)


def _fastest(chosen: Point, points: Sequence[Point], margin: float) -> Point:
    def ratio(point: Point) -> float:
        found = point.time.ratio if point.time is not None else None
        return float("inf") if found is None else found

    allowed = [chosen, *(point for point in points if not point.excess)]
    best = min(allowed, key=ratio)
    if ratio(best) == float("inf"):
        why = chosen.time.error if chosen.time is not None else None
        raise BuildError(
            f"no choice that the budget allows could be built and timed; of the chosen one it is said: {why}",
            hint="put the choice that leaves out every layer among the points: it is FP16, and known",
        )
    return best if ratio(best) < ratio(chosen) - margin else chosen
