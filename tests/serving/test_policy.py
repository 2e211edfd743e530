import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.simulated import simulate
from trtforge.serving import DegradeRule, DegradeState, Sample, Tier, step

RULE = DegradeRule()


def sample(load, full_load=None, **more):
    """Return what is seen at a load; one request takes a second, and a deadline is a second."""
    return Sample(load, load if full_load is None else full_load, 1.0, 1.0, 1, 1.0, **more)


def run(samples, state=None, start=0.0):
    """Step once a second; return the state after each."""
    states, state = [], state or DegradeState()
    for index, each in enumerate(samples):
        state = step(state, each, start + index)
        states.append(state)
    return states


def test_load_is_the_time_that_what_waits_needs_in_deadlines():
    seen = Sample(
        depth=12,
        full_depth=30,
        service_seconds=0.05,
        full_service_seconds=0.2,
        workers=2,
        deadline=1.5,
    )
    assert seen.load == pytest.approx(0.2)
    assert seen.full_load == pytest.approx(2.0)


def test_three_ticks_above_the_threshold_bring_the_lighter_model_and_two_do_not():
    assert [state.tier for state in run([sample(0.8)] * 3)] == [0, 0, 1]
    assert {state.tier for state in run([sample(0.8), sample(0.8), sample(0.79)] * 20)} == {Tier.FULL}


def test_calls_between_ticks_do_not_hurry_it():
    state = DegradeState()
    for index in range(200):
        state = step(state, sample(5.0), index * 0.01)
        assert state.tier is (Tier.FULL if index < 180 else Tier.LIGHTER)  # three ticks, each 0.9 s or more


def test_calm_for_a_minute_by_the_full_models_cost_brings_it_back():
    lighter = run([sample(1.0)] * 3)[-1]
    quiet_for_the_lighter_one = run([sample(0.1, 0.41)] * 600, lighter, start=3)
    assert {state.tier for state in quiet_for_the_lighter_one} == {Tier.LIGHTER}
    calm = run([sample(0.1, 0.4)] * 62, lighter, start=3)
    assert [state.tier for state in calm].index(Tier.FULL) == 60
    assert calm[-1].reason == "calm"


def test_one_busy_second_starts_the_minute_again():
    lighter = run([sample(1.0)] * 3)[-1]
    states = run([sample(0.0)] * 59 + [sample(0.0, 0.5)] + [sample(0.0)] * 60, lighter, start=3)
    assert {state.tier for state in states} == {Tier.LIGHTER}


def test_a_tier_is_kept_for_half_a_minute():
    lighter = run([sample(1.0)] * 3)[-1]
    states = run([sample(9.0)] * 40, lighter, start=3)
    assert [state.tier for state in states].index(Tier.SHED) == 29


def test_memory_that_ran_out_turns_requests_away_at_once():
    lighter = run([sample(1.0)] * 3)[-1]
    state = step(lighter, sample(0.9, out_of_memory=True), 3.1)
    assert (state.tier, state.reason, state.saves_memory) == (Tier.SHED, "memory", True)


def test_tripping_again_soon_doubles_the_hold_up_to_ten_minutes():
    state, now, holds = DegradeState(), 0.0, []
    for _ in range(6):
        while state.tier is Tier.FULL:
            state, now = step(state, sample(1.0), now), now + 1
        holds.append(state.holds[0])
        while state.tier is Tier.LIGHTER:
            state, now = step(state, sample(0.0), now), now + 1
    assert holds == [60, 120, 240, 480, 600, 600]
    state, now = state, now + 301
    while state.tier is Tier.FULL:
        state, now = step(state, sample(1.0), now), now + 1
    assert state.holds[0] == 60


def test_full_memory_halves_batches_and_changes_no_tier():
    states = run([sample(0.1, memory_share=0.92)] + [sample(0.1, memory_share=0.9)] * 100)
    assert {state.tier for state in states} == {Tier.FULL}
    assert states[0].saves_memory
    assert states[-1].saves_memory  # between the two thresholds nothing changes
    after = run([sample(0.1, memory_share=0.85)] * 62, states[-1], start=101)
    assert [state.saves_memory for state in after].index(False) == 60


def test_without_a_lighter_model_there_are_two_tiers():
    rule = replace(RULE, has_lighter=False)
    state, tiers = DegradeState(), []
    for second in range(200):
        state = step(state, sample(1.6 if second < 40 else 0.0), float(second), rule)
        tiers.append(state.tier)
    assert tiers.index(Tier.SHED) == 2
    assert Tier.LIGHTER not in tiers
    assert tiers[-1] is Tier.FULL


LOADS = st.floats(0, 5)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(LOADS, LOADS, st.booleans(), st.floats(0.5, 3.0)), max_size=200))
def test_whatever_is_seen_no_tier_is_left_early_and_none_is_skipped_on_the_way_down(ticks):
    state, now = DegradeState(), 0.0
    for load, full_load, ran_out, pause in ticks:
        before, now = state, now + pause
        state = step(before, sample(load, full_load, out_of_memory=ran_out), now)
        assert all(0 <= hold <= RULE.max_hold_seconds for hold in state.holds)
        if state.tier is before.tier:
            continue
        assert abs(state.tier - before.tier) == 1
        assert state.reason == "memory" or now - before.entered >= RULE.dwell_seconds
        if state.tier < before.tier:
            assert now - before.entered >= before.holds[before.tier - 1] >= RULE.hold_seconds
            assert (load if before.tier is Tier.SHED else full_load) <= RULE.calm_at
        elif state.reason == "load":
            assert load >= (RULE.lighter_at if before.tier is Tier.FULL else RULE.shed_at)


@settings(max_examples=30, deadline=None)
@given(st.lists(LOADS, max_size=100), st.lists(st.floats(0, 0.4), max_size=10))
def test_from_anywhere_calm_leads_back_to_the_full_model(loads, calm):
    state = run([sample(load) for load in loads])[-1] if loads else DegradeState()
    after = run([sample(load) for load in [*calm, *([0.0] * 1300)]], state, start=float(len(loads)))
    assert after[-1].tier is Tier.FULL


@pytest.mark.parametrize("seed", [0])
def test_ten_minutes_of_three_times_what_the_lighter_model_can_do(seed):
    # The lighter model takes 25 ms: 40 requests a second. 120 come, then 2.
    outcome = simulate(lambda now: 120.0 if now < 600 else 2.0, seconds=1000, seed=seed)
    assert outcome.late == 0
    assert len(outcome.finished) >= outcome.accepted - 1  # one may be under way
    assert [tier for when, tier in outcome.changes if when <= 600] == [Tier.LIGHTER, Tier.SHED]
    assert [tier for when, tier in outcome.changes if when > 600] == [Tier.LIGHTER, Tier.FULL]
    served = sum(10 <= end < 600 for end, _ in outcome.finished)
    assert served >= 0.9 * 590 / 0.025
    assert outcome.changes[-1][0] < 600 + 150


@pytest.mark.parametrize("seed", [0, 1])
def test_ten_minutes_of_three_times_what_the_full_model_can_do(seed):
    # The full model takes 100 ms: 10 requests a second. 30 come, which the lighter one can do.
    outcome = simulate(lambda now: 30.0 if now < 600 else 2.0, seconds=900, seed=seed)
    assert outcome.late == 0
    assert [tier for when, tier in outcome.changes if when <= 600] == [Tier.LIGHTER]
    assert outcome.refused < 0.01 * outcome.accepted
    assert outcome.changes[-1][1] is Tier.FULL


def contended(seed):
    """Whatever sends the load takes the cores: two and a half times the time at warm-up, from the start."""
    random_ = random.Random(seed)  # noqa: S311 - a simulation
    return lambda begin, mean: mean * 2.5 * random_.uniform(0.8, 1.2)


def slow_first(seed):
    """The first request sets something up."""
    left = [0.9]
    return lambda begin, mean: left.pop() if left else mean


def pauses(seed):
    """Every quarter of a minute all stands still for 0.8 s."""
    random_ = random.Random(seed)  # noqa: S311 - a simulation
    ahead = [random_.uniform(3, 15)]

    def took(begin, mean):
        pause = 0.8 if begin >= ahead[0] else 0.0
        ahead[0] += 15.0 if pause else 0.0
        return mean * random_.uniform(0.8, 1.2) + pause

    return took


def heavy_tailed(seed):
    """One request in seven takes twice the mean or more."""
    random_ = random.Random(seed)  # noqa: S311 - a simulation
    return lambda begin, mean: mean * random_.expovariate(1)


def other_work(seed):
    """For seven seconds of fourteen somebody else has half of the machine."""
    return lambda begin, mean: mean * (1 if int(begin / 7) % 2 else 2)


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("script", [contended, slow_first, pauses, heavy_tailed, other_work])
def test_whoever_is_taken_is_in_time_whatever_service_does(script, rows):
    # Five calm seconds, then a rush of three times what the lighter model can do at best.
    spent, took = [], script(1)

    def noted(begin, mean):
        spent.append((begin, took(begin, mean)))
        return spent[-1][1]

    def rate_at(now):
        return 2.0 if now < 5 or now > 125 else 120.0

    outcome = simulate(rate_at, seconds=300, took=noted, seed=1, rows=rows)
    assert outcome.late == 0
    assert [tier for when, tier in outcome.changes if when <= 125] == [Tier.LIGHTER, Tier.SHED]
    assert outcome.changes[-1][1] is Tier.FULL
    busy = sum(seconds for begin, seconds in spent if 15 <= begin < 125)
    assert busy >= 0.99 * 110  # of the time; what is answered then is what can be


def test_of_those_that_come_while_all_stands_still_none_is_promised_too_much():
    def took(begin, mean):
        return 4.0 if 60 <= begin < 60.1 else mean

    outcome = simulate(lambda now: 120.0, seconds=100, took=took)
    # Late are those that it caught: as many as 35 % of the deadline has room for, and no more.
    assert 0 < outcome.late <= 0.35 * 2.0 / 0.025
