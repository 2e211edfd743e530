"""How much work requests ask for, those that were turned away counted too."""

from __future__ import annotations

# Beyond this many deadlines a longer queue tells nothing more, and would take long to be forgotten.
_MOST_LOAD = 2.0


class Backlog:
    """The queue that a model would have if it served all requests and turned none away.

    The queue in front of a worker tells little of demand: it stays short where the lighter model keeps up,
    and where admission keeps it short.

    Attributes
    ----------
    depth : requests that would wait.
    """

    def __init__(self) -> None:
        self.depth = 0.0

    def advance(
        self, arrivals: int, elapsed: float, *, service_seconds: float, workers: int, deadline: float
    ) -> None:
        """Let requests come and be served.

        Parameters
        ----------
        arrivals : requests that came.
        elapsed : in this time, in seconds.
        service_seconds : what one of them takes one of ``workers``, in seconds, above 0.
        deadline : of a request, in seconds.
        """
        rate = workers / service_seconds
        most = _MOST_LOAD * deadline * rate
        self.depth = min(most, max(0.0, self.depth + arrivals - elapsed * rate))


class MovingMean:
    """A mean in which the past fades: of n values the first weighs (1 - weight)^(n - 1).

    Parameters
    ----------
    first : the mean before any value.
    weight : of a new value.
    """

    def __init__(self, first: float, weight: float = 0.25) -> None:
        self.value, self._weight = first, weight

    def add(self, value: float) -> None:
        """Take a value in."""
        self.value += self._weight * (value - self.value)
