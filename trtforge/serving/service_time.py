"""What a request costs a model: its mean, and a high estimate to make promises by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# As RFC 6298 has them for round trips: weights of a new value in the mean and in its deviation, deviations
# that a promise allows for, and the deviation that is supposed where one value is all there is.
_MEAN_WEIGHT, _DEVIATION_WEIGHT, _DEVIATIONS, _FIRST_DEVIATION = 1 / 8, 1 / 4, 4.0, 1 / 2


@dataclass(frozen=True)
class Expected:
    """A time to expect, in seconds: its mean, and what it is not likely to exceed."""

    mean: float
    high: float


@dataclass(frozen=True)
class BatchCost:
    """What batches of one shape take while nothing else is done, in seconds.

    Parameters
    ----------
    one, full : of one row, and of ``max_rows``.
    max_rows : most rows of the shape.
    """

    one: float
    full: float
    max_rows: int

    @property
    def per_row(self) -> float:
        """Seconds that a row of a full batch takes."""
        return self.full / self.max_rows

    def of(self, rows: int) -> float:
        """Return the seconds of a batch, on a straight line between the two that are known."""
        if self.max_rows == 1:
            return self.full
        return self.one + (self.full - self.one) * (rows - 1) / (self.max_rows - 1)


class ServiceTime:
    """Learns what a request costs one model while others wait.

    Two things are learned apart. The *shapes* that requests have, from every batch, as what a row of that
    shape took in a full batch at warm-up; before there was any, the dearest shape is supposed. And by how
    much load makes batches *slower* than they were at warm-up, only from batches under load: a calm hour
    says nothing of that, and must not make the first rush look cheap.

    Parameters
    ----------
    costs : frames of each shape to what was measured at warm-up.

    References
    ----------
    V. Jacobson, "Congestion Avoidance and Control", SIGCOMM 1988; RFC 6298: a mean and a mean deviation that
    fade, and a bound of four deviations above the mean.
    """

    def __init__(self, costs: Mapping[int, BatchCost]) -> None:
        self._costs = dict(costs)
        dearest = max(costs.values(), key=lambda cost: cost.per_row)
        self._dearest = dearest.per_row
        self._row = self._row_deviation = 0.0
        self._has_rows = False
        # Of whole batches under load: mean times, at warm-up and now, and how far they stray from the ratio.
        # The dearest batch at warm-up is the first measurement.
        self._then = self._now = dearest.full
        self._deviation = _FIRST_DEVIATION * dearest.full

    @property
    def value(self) -> Expected:
        """Seconds from request to request while others wait: what limits how many can be served."""
        row = self._row if self._has_rows else self._dearest
        high = min(row + _DEVIATIONS * self._row_deviation, self._dearest) if self._has_rows else row
        slower = self._now / self._then
        slower_at_most = (self._now + _DEVIATIONS * self._deviation) / self._then
        return Expected(max(1e-6, row * slower), max(1e-6, high * slower_at_most))

    def note(self, frames: int, rows: int, seconds: float | None) -> None:
        """Learn from a batch.

        Parameters
        ----------
        frames, rows : its shape.
        seconds : what it took under load, all that delayed it counted; None where it was not under load.
        """
        cost = self._costs[frames]
        if not self._has_rows:
            self._has_rows = True
            self._row, self._row_deviation = cost.per_row, _FIRST_DEVIATION * cost.per_row
        else:
            self._row_deviation += _DEVIATION_WEIGHT * (abs(cost.per_row - self._row) - self._row_deviation)
            self._row += _MEAN_WEIGHT * (cost.per_row - self._row)
        if seconds is None:
            return
        then = cost.of(rows)
        strayed = abs(seconds - then * self._now / self._then)
        self._deviation += _DEVIATION_WEIGHT * (strayed - self._deviation)
        self._then += _MEAN_WEIGHT * (then - self._then)
        self._now += _MEAN_WEIGHT * (seconds - self._now)
