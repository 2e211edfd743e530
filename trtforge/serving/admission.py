"""Whether a request is taken: a pure function of what waits, how fast it goes, and the deadlines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from trtforge.errors import ConfigError
from trtforge.serving.policy import Tier
from trtforge.serving.service_time import Expected

# Share of its time that a request may take by a high estimate and still be admitted; the rest is for what no
# estimate foresees, such as a pause of the machine. Where requests are turned away early, those of lower
# priority go first.
_SHARE: Mapping[Tier, Mapping[int, float]] = {
    Tier.FULL: {0: 0.5, 1: 0.5},
    Tier.LIGHTER: {0: 0.5, 1: 0.5},
    Tier.SHED: {0: 0.5, 1: 0.35},
}
_BATCH_RETRY_SECONDS = 60.0


class Priority(IntEnum):
    """Who goes first; ``BATCH`` has no deadline unless it is given one, and waits for the full model."""

    INTERACTIVE = 0
    STANDARD = 1
    BATCH = 2

    @property
    def label(self) -> str:
        """The priority's name in metrics and requests."""
        return self.name.lower()

    @classmethod
    def of(cls, text: str) -> Priority:
        """Return the priority of a name; raise ConfigError where there is none."""
        for priority in cls:
            if priority.label == text:
                return priority
        raise ConfigError(f"priority must be one of {[each.label for each in cls]}, got {text!r}")


@dataclass(frozen=True)
class Ticket:
    """A request, as far as admission and order are concerned.

    Parameters
    ----------
    number : in order of arrival.
    priority : who goes first.
    arrived : when.
    due : when it must be finished; None for any time.
    accepts_lighter : whether an answer of the lighter model will do.
    num_bytes : memory that it holds while it waits.
    """

    number: int
    priority: Priority
    arrived: float
    due: float | None
    accepts_lighter: bool
    num_bytes: int = 0

    @property
    def order(self) -> tuple[int, int]:
        """Sorts tickets as they are served."""
        return self.priority, self.number


@dataclass(frozen=True)
class Limits:
    """Bounds of what may wait.

    Parameters
    ----------
    waiting : requests with a deadline.
    batch_waiting : requests of priority ``BATCH``.
    waiting_bytes : memory of all of them.
    """

    waiting: int = 256
    batch_waiting: int = 1024
    waiting_bytes: int = 512 * 2**20

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ConfigError(f"{name} must be 1 or more, got {value}", settings=(name,))


@dataclass(frozen=True)
class Pace:
    """How fast requests are served now.

    Parameters
    ----------
    tier : the present one.
    service, full_service : time that a request takes at this tier, and with the full model.
    handling : time from leaving the queue to the answer, what is under way counted.
    is_idle : whether work could begin on a request at once.
    has_lighter : whether the present tier answers with a lighter model.
    """

    tier: Tier
    service: Expected
    full_service: Expected
    handling: Expected
    is_idle: bool
    has_lighter: bool

    def of(self, ticket: Ticket) -> Expected:
        """Return the time that a request takes with the model that will serve it."""
        return self.service if ticket.accepts_lighter else self.full_service


@dataclass(frozen=True)
class Refusal:
    """Why a request is not taken, and the seconds after which to try again."""

    reason: str
    retry_after: float


def refusal(new: Ticket, waiting: Sequence[Ticket], pace: Pace, limits: Limits, now: float) -> Refusal | None:
    """Say why a request must be turned away, or return None where it can be taken.

    A request with a deadline is taken if it is expected to meet it, with a margin, and no request that was
    taken before and would meet its own misses it thereby. One that could begin at once is always taken.

    Parameters
    ----------
    new : the request.
    waiting : those that wait, in any order, expired ones taken out before.
    pace : how fast they are served.
    limits : bounds of the queue.
    now : the time, on the clock of ``Ticket.arrived``.
    """
    if sum(ticket.num_bytes for ticket in waiting) + new.num_bytes > limits.waiting_bytes:
        return Refusal("the requests that wait fill the memory set aside for them", 1.0)
    if new.priority is Priority.BATCH:
        return _batch_refusal(waiting, pace, limits)
    if pace.has_lighter and not new.accepts_lighter:
        return Refusal("only the lighter model serves now, and the request does not accept it", 30.0)
    timed = [ticket for ticket in waiting if ticket.priority is not Priority.BATCH]
    if len(timed) >= limits.waiting:
        return Refusal(f"{len(timed)} requests wait, as many as may", 1.0)
    if not timed and pace.is_idle:
        return None
    before = [pace.of(ticket) for ticket in timed if ticket.order < new.order]
    expected = sum(each.high for each in before) + pace.handling.high
    if new.due is not None:
        allowed = (new.due - now) * _SHARE[pace.tier][new.priority]
        if expected > allowed:
            return Refusal(
                f"the answer may take {expected:.2f} s as things are, and {allowed:.2f} s are allowed for it",
                max(1.0, math.ceil(expected - allowed)),
            )
    behind = sorted((ticket for ticket in timed if ticket.order > new.order), key=lambda each: each.order)
    at_best = now + sum(each.mean for each in before) + pace.handling.mean
    at_worst = now + expected + pace.of(new).high
    for ticket in behind:
        # Who is late in any case loses nothing.
        if ticket.due is not None and at_best <= ticket.due < at_worst:
            return Refusal("a request that was taken before would miss its deadline", 1.0)
        at_best, at_worst = at_best + pace.of(ticket).mean, at_worst + pace.of(ticket).high
    return None


def _batch_refusal(waiting: Sequence[Ticket], pace: Pace, limits: Limits) -> Refusal | None:
    if pace.tier is Tier.SHED:
        return Refusal("there is too much to do to take batch work", _BATCH_RETRY_SECONDS)
    if sum(ticket.priority is Priority.BATCH for ticket in waiting) >= limits.batch_waiting:
        return Refusal(f"{limits.batch_waiting} requests of batch work wait, as many as may", 60.0)
    return None
