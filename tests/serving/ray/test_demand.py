"""Replicas follow the work that arrives, not the work that gets done."""

from __future__ import annotations

import inspect

import pytest

from trtforge.errors import ConfigError
from trtforge.serving.ray.demand import LOAD, Demand, DemandPolicy, replicas_for


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_load_is_the_work_that_arrives_each_second() -> None:
    clock = Clock()
    demand = Demand(clock, window_seconds=10, first_cost=0.1)
    for second in range(10):
        clock.now = float(second)
        demand.arrive(20.0)
    clock.now = 10.0
    assert demand.load() == pytest.approx(2.0), "20 s of audio a second, each of 0.1 s of work"
    clock.now = 25.0
    assert demand.load() == 0.0


def test_refused_requests_count_and_cost_follows_full_service() -> None:
    clock = Clock()
    demand = Demand(clock, window_seconds=10, first_cost=0.1)
    clock.now = 10.0
    for _ in range(10):
        demand.arrive(10.0)
    before = demand.load()
    for _ in range(100):
        demand.served(10.0, 2.0)
    assert demand.load() == pytest.approx(2 * before, rel=1e-4)


def test_what_is_past_is_forgotten_where_nobody_asks() -> None:
    clock = Clock()
    demand = Demand(clock, window_seconds=10)
    for _ in range(1000):
        demand.arrive(1.0)
        clock.now += 1.0
    assert len(demand._arrivals) <= 11


def test_replicas_carry_load_and_queue() -> None:
    def wanted(load: float, queued: float) -> int:
        return replicas_for(load, queued, target_utilization=0.7, requests_a_replica=16)

    assert [wanted(0, 0), wanted(0.7, 0), wanted(0.71, 0), wanted(3.0, 0), wanted(0.7, 16)] == [0, 1, 2, 5, 2]


def test_the_policy_adds_up_what_replicas_report() -> None:
    config = pytest.importorskip("ray.serve.config")
    values = dict.fromkeys(inspect.signature(config.AutoscalingContext).parameters)
    busy = {**values, "aggregated_metrics": {LOAD: {"a": 1.0, "b": 1.1}}, "total_queued_requests": 16.0}
    assert DemandPolicy(0.7, 16.0)(config.AutoscalingContext(**busy)) == (4, {})
    assert DemandPolicy()(config.AutoscalingContext(**values)) == (0, {})


def test_a_demand_without_window_or_cost_is_refused() -> None:
    with pytest.raises(ConfigError, match="window_seconds and first_cost must be above 0"):
        Demand(Clock(), window_seconds=0)
