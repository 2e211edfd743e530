"""How many replicas a load needs, counted in what the work would cost and not in what was got done."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from trtforge.errors import ConfigError

LOAD = "trtforge_load"


class Demand:
    """The work that arrives at one replica, in seconds of work for each second.

    A request counts when it arrives, by the length of its audio, whether it is then served, refused or served
    by something cheaper: a replica that sheds load must not look idle. A second of audio costs what full
    service of it took lately.

    Parameters
    ----------
    clock : seconds, from any start.
    window_seconds : over which arrivals are added up.
    first_cost : seconds of work for a second of audio, until one was measured.

    Raises
    ------
    ConfigError : a value is not above 0.
    """

    def __init__(
        self, clock: Callable[[], float], *, window_seconds: float = 30.0, first_cost: float = 0.05
    ) -> None:
        if window_seconds <= 0 or first_cost <= 0:
            raise ConfigError(
                f"window_seconds and first_cost must be above 0, got {window_seconds} and {first_cost}"
            )
        self._clock, self._window, self._cost = clock, window_seconds, first_cost
        self._arrivals: deque[tuple[float, float]] = deque()
        self._begin = clock()

    def arrive(self, audio_seconds: float) -> None:
        """Note that a request came."""
        self._arrivals.append((self._clock(), audio_seconds))
        self._forget()  # nobody may ever ask for the load

    def served(self, audio_seconds: float, work_seconds: float) -> None:
        """Note what full service of some audio took; the latest tenth of it counts."""
        if audio_seconds > 0:
            self._cost += 0.1 * (work_seconds / audio_seconds - self._cost)

    def load(self) -> float:
        """Return the work that arrives each second: 1.0 keeps one replica busy all the time."""
        self._forget()
        span = min(self._window, max(1.0, self._clock() - self._begin))
        return self._cost * sum(audio for _, audio in self._arrivals) / span

    def _forget(self) -> None:
        begin = self._clock() - self._window
        while self._arrivals and self._arrivals[0][0] < begin:
            self._arrivals.popleft()


def replicas_for(load: float, queued: float, *, target_utilization: float, requests_a_replica: float) -> int:
    """Return the replicas that carry a load.

    Parameters
    ----------
    load : `Demand.load` of all replicas together.
    queued : requests that wait before any replica has seen them.
    target_utilization : share of the time that a replica is to be busy, above 0, up to 1.
    requests_a_replica : requests that a replica holds at once.
    """
    return math.ceil(load / target_utilization + queued / requests_a_replica)


class DemandPolicy:
    """Ray Serve's autoscaling policy over `Demand`; Ray applies its delays and bounds to what this returns.

    Parameters
    ----------
    target_utilization, requests_a_replica : as for `replicas_for`.
    """

    def __init__(self, target_utilization: float = 0.7, requests_a_replica: float = 16.0) -> None:
        self.target_utilization, self.requests_a_replica = target_utilization, requests_a_replica

    def __call__(self, context: Any) -> tuple[int, Mapping[str, Any]]:
        """Return the replicas wanted, and no state."""
        loads = (context.aggregated_metrics or {}).get(LOAD, {})
        wanted = replicas_for(
            sum(loads.values()),
            context.total_queued_requests or 0.0,
            target_utilization=self.target_utilization,
            requests_a_replica=self.requests_a_replica,
        )
        return wanted, {}
