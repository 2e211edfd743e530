import pytest

from trtforge.serving.service_time import BatchCost, ServiceTime

# A batch of 100 frames takes 0.1 s for one row and 0.16 s for four; one of 400 frames four times that.
COSTS = {100: BatchCost(0.1, 0.16, 4), 400: BatchCost(0.4, 0.64, 4)}


def test_a_batch_between_two_that_were_timed_costs_what_lies_between():
    assert [COSTS[100].of(rows) for rows in (1, 2, 4)] == pytest.approx([0.1, 0.12, 0.16])
    assert COSTS[100].per_row == pytest.approx(0.04)
    assert BatchCost(0.3, 0.3, 1).of(1) == 0.3


def test_before_any_request_the_dearest_shape_is_supposed_and_promises_are_three_times_as_long():
    value = ServiceTime(COSTS).value
    assert (value.mean, value.high) == pytest.approx((0.16, 0.48))  # a deviation of half, four of them


def test_calm_batches_tell_the_shape_of_requests_and_nothing_of_load():
    service = ServiceTime(COSTS)
    for _ in range(100):
        service.note(100, 1, None)
    assert (service.value.mean, service.value.high) == pytest.approx((0.04, 0.12))


def test_a_shape_that_was_not_seen_lately_is_not_forgotten_at_once():
    service = ServiceTime(COSTS)
    for _ in range(20):
        service.note(100, 4, None)
    service.note(400, 4, None)
    # The mean moves by an eighth of 0.12; four deviations of a quarter of it would go beyond the dearest.
    assert (service.value.mean, service.value.high) == pytest.approx((0.04 + 0.12 / 8, 3 * 0.16))


def test_batches_under_load_tell_how_much_slower_load_makes_them():
    service = ServiceTime(COSTS)
    for _ in range(200):
        service.note(100, 4, 0.32)  # twice what it took at warm-up
    assert (service.value.mean, service.value.high) == pytest.approx((0.08, 0.08), rel=1e-3)


def test_the_first_batches_of_a_rush_count_as_whole_batches():
    service, found = ServiceTime(COSTS), []
    for _ in range(3):
        service.note(400, 4, 1.28)  # twice what it took at warm-up, 0.64
        found.append((service.value.mean, service.value.high))
    # Means of a batch 0.72, 0.79, 0.85125; deviations 0.40, 0.44, 0.4525; a row is 0.16 of 0.64.
    assert [mean for mean, _ in found] == pytest.approx([0.18, 0.1975, 0.2128125])
    assert [high for _, high in found] == pytest.approx([0.58, 0.6375, 0.6653125])


def test_a_rush_of_twice_the_time_is_promised_between_that_and_four_and_a_half_times():
    service, highs = ServiceTime(COSTS), []
    for _ in range(100):
        service.note(400, 4, 1.28)
        highs.append(service.value.high / 0.16)
    assert min(highs) >= 2 * (1 - 1e-3)
    assert max(highs) <= 4.5
    assert highs[19] <= 2.5  # after twenty batches


def test_a_batch_that_is_not_full_is_held_against_what_such_a_batch_takes():
    service = ServiceTime(COSTS)
    for _ in range(200):
        service.note(100, 1, 0.1)
    assert service.value.mean == pytest.approx(0.04, rel=1e-3)  # of a full batch, whatever was run


def test_one_pause_shortens_promises_more_than_it_moves_the_mean():
    service = ServiceTime(COSTS)
    for _ in range(200):
        service.note(100, 4, 0.16)
    service.note(100, 4, 0.96)
    assert service.value.mean == pytest.approx(0.04 * (1 + 5 / 8), rel=1e-3)
    assert service.value.high == pytest.approx(0.04 * (1 + 5 / 8 + 4 * 5 / 4), rel=1e-3)
