"""A worker of admission, order, estimates and policy alone, on a simulated clock."""

import heapq
import random
from dataclasses import dataclass, field

from trtforge.serving.admission import Limits, Pace, Priority, Ticket, refusal
from trtforge.serving.demand import Backlog
from trtforge.serving.policy import DegradeRule, DegradeState, Sample, Tier, step
from trtforge.serving.service_time import BatchCost, Expected, ServiceTime

FRAMES = 100  # of every request


@dataclass
class Outcome:
    """What came of a simulation; times in seconds."""

    accepted: int = 0
    refused: int = 0
    late: int = 0
    most_seconds: float = 0.0  # from arrival to answer
    finished: list = field(default_factory=list)  # end, tier
    changes: list = field(default_factory=list)  # time, tier


def jitter(seed, noise=0.2):
    """Return a script of service times that differ from the mean by up to a share of it."""
    random_ = random.Random(seed)  # noqa: S311 - a simulation
    return lambda begin, mean: mean * random_.uniform(1 - noise, 1 + noise)


def simulate(rate_at, *, seconds, full=0.1, lighter=0.025, deadline=2.0, took=None, seed=0, rows=1):
    """Let requests come at random and be served one batch at a time.

    rate_at : time to requests a second.
    full, lighter : service times at warm-up, of a row of a full batch.
    took : what a batch takes in truth, of the time at which it begins and its time at warm-up.
    rows : most rows of a batch; one row alone takes half of the time of all.
    """
    random_ = random.Random(seed)  # noqa: S311 - a simulation
    took = took or jitter(seed)
    outcome, state, rule = Outcome(), DegradeState(), DegradeRule()
    at_warm_up = {Tier.FULL: full, Tier.LIGHTER: lighter}
    costs = {tier: BatchCost(mean * max(1, rows / 2), mean * rows, rows) for tier, mean in at_warm_up.items()}
    service = {tier: ServiceTime({FRAMES: cost}) for tier, cost in costs.items()}
    backlogs = {tier: Backlog() for tier in service}
    waiting, under_way, number, arrived, refused, free_at = [], [], 0, 0, 0, 0.0
    serves, begun, took_seconds = Tier.FULL, 0.0, 0.0  # of the batch that is under way
    next_arrival, next_tick = 0.0, 1.0
    while True:
        now = min(next_arrival, next_tick)
        if now > seconds:
            return outcome
        # Whatever has ended or could begin before this moment has.
        while free_at <= now and (under_way or waiting):
            if under_way:
                service[serves].note(FRAMES, len(under_way), took_seconds if waiting or refused else None)
                outcome.finished += [(free_at, serves)] * len(under_way)
                outcome.late += sum(free_at > ticket.due for ticket in under_way)
                outcome.most_seconds = max(outcome.most_seconds, free_at - under_way[0].arrived)
                under_way = []
            if waiting:
                begun = max(free_at, waiting[0][1].arrived)
                while waiting and len(under_way) < rows and waiting[0][1].arrived <= begun:
                    under_way.append(heapq.heappop(waiting)[1])
                serves = min(state.tier, Tier.LIGHTER)
                took_seconds = took(begun, costs[serves].of(len(under_way)))
                free_at = begun + took_seconds
        present = min(state.tier, Tier.LIGHTER)
        each = service[present].value
        if now == next_arrival:
            arrived += 1
            ticket = Ticket(number, Priority.STANDARD, now, now + deadline, True)
            running = len(under_way)
            age = now - begun if running else 0.0
            handling = Expected(each.mean * (1 + running), max(each.high * (1 + running), age))
            is_lighter = state.tier is not Tier.FULL
            pace = Pace(state.tier, each, service[Tier.FULL].value, handling, running < rows, is_lighter)
            if refusal(ticket, [each for _, each in waiting], pace, Limits(), now) is None:
                heapq.heappush(waiting, (ticket.order, ticket))
                outcome.accepted += 1
            else:
                outcome.refused += 1
                refused += 1
            number += 1
            next_arrival = now + random_.expovariate(rate_at(now))
            continue
        for tier, backlog in backlogs.items():
            mean = service[tier].value.mean
            backlog.advance(arrived, 1.0, service_seconds=mean, workers=1, deadline=deadline)
        if not waiting and not refused:
            backlogs[present].depth = 0.0
        before, arrived, refused = state.tier, 0, 0
        sample = Sample(
            depth=max(len(waiting), backlogs[present].depth),
            full_depth=max(len(waiting), backlogs[Tier.FULL].depth),
            service_seconds=each.mean,
            full_service_seconds=service[Tier.FULL].value.mean,
            workers=1,
            deadline=deadline,
        )
        state = step(state, sample, now, rule)
        if state.tier is not before:
            outcome.changes.append((now, state.tier))
        next_tick += 1.0
