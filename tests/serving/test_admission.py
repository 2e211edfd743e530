import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtforge.errors import ConfigError
from trtforge.serving import Limits, Priority, Tier
from trtforge.serving.admission import Pace, Ticket, refusal
from trtforge.serving.service_time import Expected


def pace(service=0.1, handling=0.1, tier=Tier.FULL, is_idle=False, full=0.1, doubt=1.0):
    """Return a pace whose high estimates are ``doubt`` times its means."""
    service, full, handling = (Expected(each, doubt * each) for each in (service, full, handling))
    return Pace(tier, service, full, handling, is_idle, tier is not Tier.FULL)


def ticket(number, priority=Priority.STANDARD, due=2.0, **more):
    return Ticket(number, priority, 0.0, due, more.pop("accepts_lighter", True), **more)


def test_a_request_is_taken_while_its_turn_comes_in_time():
    # 0.1 s for each of those before it, and 0.1 s of its own, within half of 2 s.
    waiting = [ticket(number) for number in range(8)]
    assert refusal(ticket(8), waiting, pace(), Limits(), 0.0) is None
    why = refusal(ticket(10), [*waiting, ticket(8), ticket(9)], pace(), Limits(), 0.0)
    assert why.reason == "the answer may take 1.10 s as things are, and 1.00 s are allowed for it"
    assert why.retry_after == 1.0


def test_a_later_deadline_admits_more():
    waiting = [ticket(number, due=60.0) for number in range(30)]
    assert refusal(ticket(30), waiting, pace(), Limits(), 0.0) is not None
    assert refusal(ticket(30, due=8.0), waiting, pace(), Limits(), 0.0) is None


def test_nobody_in_a_hurry_makes_another_miss_a_deadline_it_was_promised():
    waiting = [ticket(0, due=0.25), *(ticket(number, Priority.INTERACTIVE) for number in (1,))]
    # The first is expected at 0.2 s. Another before it would make that 0.3 s.
    why = refusal(ticket(2, Priority.INTERACTIVE), waiting, pace(), Limits(), 0.0)
    assert why.reason == "a request that was taken before would miss its deadline"


def test_the_high_estimate_is_what_a_promise_is_made_by():
    waiting = [ticket(number) for number in range(4)]
    # Four of 0.1 s, and 0.1 s of its own: 0.5 s if all goes well, 1.5 s if it goes badly, and 1 s allowed.
    assert refusal(ticket(4), waiting, pace(), Limits(), 0.0) is None
    assert refusal(ticket(4), waiting, pace(doubt=3.0), Limits(), 0.0) is not None


def test_one_that_may_yet_be_in_time_is_not_given_up_for_another():
    waiting = [ticket(0, due=0.25)]
    new = ticket(1, Priority.INTERACTIVE, due=5.0)
    # It is late by the high estimate, not by the mean.
    assert "a request that was taken before" in refusal(new, waiting, pace(doubt=4.0), Limits(), 0.0).reason


def test_those_that_wait_for_the_full_model_count_at_its_cost():
    light = pace(service=0.01, handling=0.01, tier=Tier.LIGHTER, full=0.5)
    assert refusal(ticket(9), [ticket(0), ticket(1)], light, Limits(), 0.0) is None
    full = [ticket(0, accepts_lighter=False), ticket(1, accepts_lighter=False)]
    why = refusal(ticket(9), full, light, Limits(), 0.0)
    assert why.reason == "the answer may take 1.01 s as things are, and 1.00 s are allowed for it"


def test_one_that_is_late_in_any_case_turns_nobody_away():
    waiting = [ticket(0, due=0.05)]
    assert refusal(ticket(1, Priority.INTERACTIVE), waiting, pace(), Limits(), 0.0) is None


def test_what_could_begin_at_once_is_taken_whatever_is_expected():
    slow = pace(service=10, handling=10, is_idle=True)
    assert refusal(ticket(0), [], slow, Limits(), 0.0) is None


def test_early_refusal_spares_those_in_a_hurry():
    waiting = [ticket(number) for number in range(12)]
    shed = pace(tier=Tier.SHED)
    assert refusal(ticket(12), waiting, shed, Limits(), 0.0) is not None
    assert refusal(ticket(12, Priority.INTERACTIVE), [], shed, Limits(), 0.0) is None
    why = refusal(ticket(12, Priority.BATCH, due=None), [], shed, Limits(), 0.0)
    assert (why.reason, why.retry_after) == ("there is too much to do to take batch work", 60.0)


def test_batch_work_has_room_of_its_own():
    limits = Limits(waiting=1, batch_waiting=2)
    batch = [ticket(number, Priority.BATCH, None) for number in range(2)]
    assert refusal(ticket(2), batch, pace(), limits, 0.0) is None
    assert refusal(ticket(2, Priority.BATCH, None), batch[:1], pace(), limits, 0.0) is None
    assert "as many as may" in refusal(ticket(2, Priority.BATCH, None), batch, pace(), limits, 0.0).reason


def test_memory_bounds_what_waits():
    limits = Limits(waiting_bytes=100)
    why = refusal(ticket(1, num_bytes=60), [ticket(0, num_bytes=60)], pace(), limits, 0.0)
    assert why.reason == "the requests that wait fill the memory set aside for them"


def test_limits_and_priorities_are_checked():
    with pytest.raises(ConfigError, match="batch_waiting must be 1 or more, got 0"):
        Limits(batch_waiting=0)
    with pytest.raises(ConfigError, match=r"priority must be one of .'interactive', 'standard', 'batch'."):
        Priority.of("urgent")


REQUEST = st.tuples(
    st.sampled_from([Priority.INTERACTIVE, Priority.STANDARD]), st.floats(0.05, 5), st.floats(0, 0.2)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(REQUEST, max_size=60), st.floats(0.005, 0.3))
def test_with_service_as_expected_whoever_is_taken_is_in_time(requests, service):
    """One at a time, each taking just as long as was expected."""
    now, free_at, waiting = 0.0, 0.0, []
    for number, (priority, deadline, pause) in enumerate([*requests, (Priority.STANDARD, 1.0, 1e6)]):
        now += pause
        while waiting and free_at <= now:
            waiting.sort(key=lambda each: each.order)
            first = waiting.pop(0)
            free_at = max(free_at, first.arrived) + service
            assert free_at <= first.due + 1e-9 or first.due - first.arrived < service
        new = Ticket(number, priority, now, now + deadline, True)
        left = max(0.0, free_at - now)
        if refusal(new, waiting, pace(service, left + service, is_idle=left == 0), Limits(), now) is None:
            waiting.append(new)
