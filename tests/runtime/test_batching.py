import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtforge.errors import ConfigError, ProfileError
from trtforge.profiles import OptimizationProfile
from trtforge.runtime import BatchingRule, Bucket, buckets_of
from trtforge.runtime.batching import Request, choose_batch, due

RULE = BatchingRule((Bucket(100, 3), Bucket(200, 2)), max_wait=1.0, overhead_frames=50)


def requests(*lengths, arrived=0.0):
    return [Request(number, length, arrived) for number, length in enumerate(lengths)]


def numbers(batch):
    return [request.number for request in batch.requests]


def test_nothing_runs_before_it_is_due_or_full():
    assert choose_batch([], RULE, 5) is None
    assert choose_batch(requests(90, 80, 150), RULE, 0.99) is None


def test_a_full_bucket_runs_at_once_in_order_of_submission():
    batch = choose_batch(requests(150, 90, 80, 70, 60), RULE, 0.0)
    assert (batch.bucket, numbers(batch)) == (Bucket(100, 3), [1, 2, 3])
    assert batch.padded_frames == 300 - 240


def test_the_oldest_runs_once_it_is_due_with_those_that_cost_least():
    # alone (100 + 50) / 60 = 2.5 a frame, with 95: 250 / 155 = 1.61, with 95 and 150 in 200: 450 / 210 = 2.14
    batch = choose_batch(requests(60, 150, 95), RULE, 1.0)
    assert (batch.bucket, numbers(batch)) == (Bucket(100, 3), [0, 2])


def test_a_short_row_is_taken_along_only_where_it_saves_more_than_it_pads():
    # alone (200 + 50) / 180 = 1.39; with 20 more frames (400 + 50) / 200 = 2.25
    assert numbers(choose_batch(requests(180, 20), RULE, 1.0)) == [0]
    # a start that costs as much as 1,000 frames: 1200 / 180 = 6.7, 1400 / 260 = 5.4
    costly = BatchingRule(RULE.buckets, overhead_frames=1000)
    assert numbers(choose_batch(requests(180, 80), costly, 1.0)) == [0, 1]


def test_draining_waits_for_nothing():
    assert numbers(choose_batch(requests(60), RULE, 0.0, is_draining=True)) == [0]


def test_settings_out_of_range_are_refused():
    for sizes in ((0, 1), (1.5, 1), (1, "2")):
        with pytest.raises(ConfigError, match="must be whole numbers of 1 or more, got Bucket"):
            Bucket(*sizes)
    for buckets in ((), (400, 800)):
        with pytest.raises(ConfigError, match=r"batching needs one Bucket or more, got \("):
            BatchingRule(buckets)
    for wait in (float("nan"), "1"):
        with pytest.raises(ConfigError, match=f"max_wait must be 0 or more and finite, got {wait!r}"):
            BatchingRule((Bucket(1, 1),), max_wait=wait)
    with pytest.raises(ProfileError, match="201 frames is longer than the longest bucket, 200"):
        choose_batch(requests(201), RULE, 0.0)


def test_buckets_are_the_largest_shapes_of_the_profiles():
    profiles = [
        OptimizationProfile({"mel": ((1, 80, 201), (4, 80, 400), (4, 80, 400))}),
        OptimizationProfile({"mel": ((1, 80, 8), (16, 80, 200), (16, 80, 200))}),
    ]
    assert buckets_of(profiles, "mel") == (Bucket(200, 16), Bucket(400, 4))
    with pytest.raises(ProfileError, match="no shapes of rows for input 'x'"):
        buckets_of(profiles, "x")
    with pytest.raises(ProfileError, match="takes 2 rows or more"):
        buckets_of([OptimizationProfile({"mel": ((2, 80, 8), (2, 80, 8), (2, 80, 8))})], "mel")
    with pytest.raises(ProfileError, match="no profiles"):
        buckets_of([], "mel")


BUCKETS = st.lists(
    st.builds(Bucket, st.integers(10, 300), st.integers(1, 6)), min_size=1, max_size=4
).map(lambda buckets: (*buckets, Bucket(300, 3)))  # fmt: skip
ARRIVALS = st.lists(st.tuples(st.floats(0, 3), st.integers(1, 300)), max_size=40)


@settings(deadline=None)
@given(BUCKETS, ARRIVALS, st.floats(0, 1), st.sampled_from([0, 100, 5000]))
def test_nothing_is_lost_or_run_twice_and_nobody_waits_too_long(buckets, arrivals, max_wait, overhead):
    """A runner that takes no time, on a clock that stops where something arrives or falls due."""
    rule = BatchingRule(buckets, max_wait, overhead)
    coming = [Request(n, length, at) for n, (at, length) in enumerate(sorted(arrivals))]
    waiting, done = [], []
    while coming or waiting:
        times = [request.arrived for request in coming[:1]] + [due(request, rule) for request in waiting]
        now = min(times)
        while coming and coming[0].arrived <= now:
            waiting.append(coming.pop(0))
        while (batch := choose_batch(waiting, rule, now)) is not None:
            assert batch == choose_batch(waiting[::-1], rule, now)
            assert batch.bucket in rule.buckets
            assert 1 <= len(batch.requests) <= batch.bucket.max_rows
            assert numbers(batch) == sorted(numbers(batch))
            assert batch.padded_frames >= 0
            for request in batch.requests:
                assert request.num_frames <= batch.bucket.num_frames
                assert now <= due(request, rule)
                waiting.remove(request)
                done.append(request.number)
    assert sorted(done) == list(range(len(arrivals)))
