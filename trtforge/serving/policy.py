"""When to run the lighter model, and when to turn requests away early: a pure function of time and load."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum

from trtforge.errors import ConfigError

# Clocks and schedulers are not exact: a tick may come this early.
_EARLIEST = 0.9


class Tier(IntEnum):
    """What serves requests."""

    FULL = 0
    LIGHTER = 1
    SHED = 2

    @property
    def label(self) -> str:
        """The tier's name in metrics and answers."""
        return self.name.lower()


@dataclass(frozen=True)
class DegradeRule:
    """Thresholds and times; the defaults suit deadlines of seconds.

    Parameters
    ----------
    lighter_at, shed_at : load from which on the lighter model serves, and requests are turned away early.
    calm_at : load up to which the tier below would do.
    ticks : consecutive ticks above a threshold that trip it.
    tick_seconds : time between ticks.
    hold_seconds : calm before a tier is left; doubled each time that it is entered again within
        ``retrip_seconds`` of leaving it, up to ``max_hold_seconds``.
    dwell_seconds : least time in a tier, out of memory excepted.
    retrip_seconds, max_hold_seconds : see ``hold_seconds``.
    memory_high, memory_low : share of GPU memory in use from which on batches are halved and idle contexts
        are given back, and below which, after ``hold_seconds``, batches are whole again.
    has_lighter : whether there is a lighter model; without one the first threshold is ``shed_at``.

    Raises
    ------
    ConfigError : a value is not a number in its range, or thresholds are not in order.
    """

    lighter_at: float = 0.8
    shed_at: float = 1.5
    calm_at: float = 0.4
    ticks: int = 3
    tick_seconds: float = 1.0
    hold_seconds: float = 60.0
    max_hold_seconds: float = 600.0
    dwell_seconds: float = 30.0
    retrip_seconds: float = 300.0
    memory_high: float = 0.92
    memory_low: float = 0.85
    has_lighter: bool = True

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < math.inf or (name in ("ticks", "tick_seconds") and value == 0):
                raise ConfigError(f"{name} must be a number above 0, got {value}")
        if not self.calm_at < self.lighter_at <= self.shed_at or not self.memory_low <= self.memory_high:
            raise ConfigError(
                f"thresholds must rise: calm_at {self.calm_at}, lighter_at {self.lighter_at}, shed_at "
                f"{self.shed_at}; memory_low {self.memory_low}, memory_high {self.memory_high}"
            )


@dataclass(frozen=True)
class Sample:
    """What a worker sees at a tick.

    Parameters
    ----------
    depth : requests with a deadline that wait, or would wait if none were turned away, at the present tier.
    full_depth : those that would wait if the full model served.
    service_seconds, full_service_seconds : mean time of one request at the present tier and with the full
        model, as one of ``workers`` spends it.
    workers : batches that run at a time.
    deadline : of a request, in seconds.
    memory_share : of GPU memory in use, 0 to 1; None where there is no GPU.
    out_of_memory : whether a request ran out of GPU memory since the last tick.
    """

    depth: float
    full_depth: float
    service_seconds: float
    full_service_seconds: float
    workers: int
    deadline: float
    memory_share: float | None = None
    out_of_memory: bool = False

    @property
    def load(self) -> float:
        """Time that the waiting requests need at the present tier, in deadlines."""
        return self.depth * self.service_seconds / self.workers / self.deadline

    @property
    def full_load(self) -> float:
        """Time that they would need with the full model, in deadlines."""
        return self.full_depth * self.full_service_seconds / self.workers / self.deadline


@dataclass(frozen=True)
class DegradeState:
    """What the policy remembers between ticks; times are on the caller's clock.

    Parameters
    ----------
    tier : what serves now.
    reason : why it was entered: ``start``, ``load``, ``memory`` or ``calm``.
    entered : when.
    ticked : time of the last tick.
    high_ticks : ticks above the next threshold, without a break.
    calm_since : since when the load has been low enough to leave the tier; None where it is not.
    holds : calm needed to leave LIGHTER, and to leave SHED.
    left : when each of the two was left last.
    saves_memory : whether batches are halved and idle contexts given back.
    memory_calm_since : since when memory has been low.
    """

    tier: Tier = Tier.FULL
    reason: str = "start"
    entered: float = -math.inf
    ticked: float = -math.inf
    high_ticks: int = 0
    calm_since: float | None = None
    holds: tuple[float, float] = (0.0, 0.0)
    left: tuple[float, float] = (-math.inf, -math.inf)
    saves_memory: bool = False
    memory_calm_since: float | None = None


def step(state: DegradeState, sample: Sample, now: float, rule: DegradeRule = DegradeRule()) -> DegradeState:
    """Return the state after a tick.

    The tier rises after ``ticks`` ticks at or above its threshold, or at once from LIGHTER to SHED where
    memory ran out; it falls one step after a hold of calm. Calm in LIGHTER is judged by what the full model
    would have to do, as the lighter one empties the queue in any case. A call that comes too soon for a
    tick does nothing, so that no number of calls can hurry the policy.

    Parameters
    ----------
    state : of the last tick; ``DegradeState()`` at the start.
    sample : what is seen now.
    now : the time, on a clock that does not go back, in seconds.
    rule : thresholds and times.
    """
    if now - state.ticked < _EARLIEST * rule.tick_seconds and not sample.out_of_memory:
        return state
    state = replace(_with_memory(state, sample, now, rule), ticked=now)
    threshold = rule.lighter_at if state.tier is Tier.FULL and rule.has_lighter else rule.shed_at
    is_high = state.tier is not Tier.SHED and sample.load >= threshold
    calm_load = sample.load if state.tier is Tier.SHED and rule.has_lighter else sample.full_load
    is_calm = state.tier is not Tier.FULL and calm_load <= rule.calm_at
    since = (now if state.calm_since is None else state.calm_since) if is_calm else None
    state = replace(state, high_ticks=state.high_ticks + 1 if is_high else 0, calm_since=since)
    if sample.out_of_memory and state.tier is Tier.LIGHTER:
        return _enter(state, Tier.SHED, "memory", now, rule)
    if now - state.entered < rule.dwell_seconds:
        return state
    if state.high_ticks >= rule.ticks:
        above = Tier.LIGHTER if state.tier is Tier.FULL and rule.has_lighter else Tier.SHED
        return _enter(state, above, "load", now, rule)
    if since is not None and now - since >= state.holds[state.tier - 1]:
        below = Tier.LIGHTER if state.tier is Tier.SHED and rule.has_lighter else Tier.FULL
        return _enter(state, below, "calm", now, rule)
    return state


def _enter(state: DegradeState, tier: Tier, reason: str, now: float, rule: DegradeRule) -> DegradeState:
    holds, left = list(state.holds), list(state.left)
    if tier > state.tier:
        again = now - left[tier - 1] <= rule.retrip_seconds
        doubled = min(2 * holds[tier - 1], rule.max_hold_seconds)
        holds[tier - 1] = doubled if again else rule.hold_seconds
    else:
        left[state.tier - 1] = now
    return replace(
        state,
        tier=tier,
        reason=reason,
        entered=now,
        high_ticks=0,
        calm_since=None,
        holds=(holds[0], holds[1]),
        left=(left[0], left[1]),
    )


def _with_memory(state: DegradeState, sample: Sample, now: float, rule: DegradeRule) -> DegradeState:
    share = 0.0 if sample.memory_share is None else sample.memory_share
    if sample.out_of_memory or share >= rule.memory_high:
        return replace(state, saves_memory=True, memory_calm_since=None)
    if not state.saves_memory:
        return state
    if share > rule.memory_low:
        return replace(state, memory_calm_since=None)
    since = now if state.memory_calm_since is None else state.memory_calm_since
    if now - since >= rule.hold_seconds:
        return replace(state, saves_memory=False, memory_calm_since=None)
    return replace(state, memory_calm_since=since)
