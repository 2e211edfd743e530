"""A worker of admission, order and policy alone, on a simulated clock."""

import heapq
import random
from dataclasses import dataclass, field

from trtforge.serving.admission import Limits, Pace, Priority, Ticket, refusal
from trtforge.serving.demand import Backlog
from trtforge.serving.policy import DegradeRule, DegradeState, Sample, Tier, step


@dataclass
class Outcome:
    """What came of a simulation; times in seconds."""

    accepted: int = 0
    refused: int = 0
    late: int = 0
    finished: list = field(default_factory=list)  # end, tier
    changes: list = field(default_factory=list)  # time, tier


def simulate(rate_at, *, seconds, full=0.1, lighter=0.025, deadline=2.0, noise=0.2, seed=0):
    """Let requests come at random and be served one at a time.

    rate_at : time to requests a second.
    full, lighter : mean service times; each request's own differs from it by up to ``noise``.
    """
    random_ = random.Random(seed)  # noqa: S311 - a simulation
    outcome, state, rule = Outcome(), DegradeState(), DegradeRule()
    service = {Tier.FULL: full, Tier.LIGHTER: lighter}
    backlogs = {tier: Backlog() for tier in service}
    waiting, number, arrived, free_at = [], 0, 0, 0.0
    next_arrival, next_tick = 0.0, 1.0
    while True:
        now = min(next_arrival, next_tick)
        if now > seconds:
            return outcome
        # Whatever could begin before this moment has begun.
        while waiting and free_at <= now:
            _, ticket = heapq.heappop(waiting)
            tier = min(state.tier, Tier.LIGHTER)
            begin = max(free_at, ticket.arrived)
            free_at = begin + service[tier] * random_.uniform(1 - noise, 1 + noise)
            outcome.finished.append((free_at, tier))
            outcome.late += free_at > ticket.due
        present = service[min(state.tier, Tier.LIGHTER)]
        if now == next_arrival:
            arrived += 1
            ticket = Ticket(number, Priority.STANDARD, now, now + deadline, True)
            left = max(0.0, free_at - now)
            pace = Pace(state.tier, present, left + present, 1, left == 0, state.tier is not Tier.FULL)
            if refusal(ticket, [each for _, each in waiting], pace, Limits(), now) is None:
                heapq.heappush(waiting, (ticket.order, ticket))
                outcome.accepted += 1
            else:
                outcome.refused += 1
            number += 1
            next_arrival = now + random_.expovariate(rate_at(now))
            continue
        for tier, backlog in backlogs.items():
            backlog.advance(arrived, 1.0, service_seconds=service[tier], workers=1, deadline=deadline)
        before, arrived = state.tier, 0
        sample = Sample(
            depth=max(len(waiting), backlogs[min(state.tier, Tier.LIGHTER)].depth),
            full_depth=max(len(waiting), backlogs[Tier.FULL].depth),
            service_seconds=present,
            full_service_seconds=full,
            workers=1,
            deadline=deadline,
        )
        state = step(state, sample, now, rule)
        if state.tier is not before:
            outcome.changes.append((now, state.tier))
        next_tick += 1.0
