import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtforge.errors import ProfileError
from trtforge.model import TensorSpec
from trtforge.profiles import (
    AffineCost,
    MeasuredCost,
    ProfilePlan,
    Workload,
    buckets_for,
    choose_profile,
    plan_buckets,
)

MEL = TensorSpec("mel", "float32", ("batch", 80, "frames"))
MASK = TensorSpec("mask", "float32", ("batch", "frames"))
LENGTHS = TensorSpec("length", "int64", ("batch",))
lengths = st.lists(st.integers(1, 400), min_size=1, max_size=40)


def shapes_of(batch, frames):
    return {"mel": (batch, 80, frames), "mask": (batch, frames), "length": (batch,)}


@given(lengths, st.integers(1, 5), st.sampled_from([1, 8, 16]), st.data())
def test_what_lies_inside_is_accepted_and_what_lies_outside_is_named(found, profiles, multiple_of, data):
    plan = plan_buckets(
        found, max_profiles=profiles, multiple_of=multiple_of, batch_sizes=(2, 6), profile_price=0
    )
    made = plan.profiles([MEL, MASK, LENGTHS])
    for profile in made:
        profile.check_inputs([MEL, MASK, LENGTHS])
    low, high = plan.buckets[0].frames[0], plan.buckets[-1].frames[2]
    assert low <= min(found) <= max(found) <= high
    batch, frames = data.draw(st.integers(2, 6)), data.draw(st.integers(low, high))
    chosen = choose_profile(made, shapes_of(batch, frames))
    assert plan.buckets[chosen].frames[0] <= frames <= plan.buckets[chosen].frames[2]
    wrong = data.draw(st.sampled_from([high + 1, high + 1000, *([low - 1] if low > 1 else [])]))
    with pytest.raises(ProfileError, match=rf"axis 2 of input 'mel' is {wrong}, outside "):
        choose_profile(made, shapes_of(batch, wrong))
    rows = data.draw(st.sampled_from([1, 7]))
    with pytest.raises(ProfileError, match=rf"axis 0 of input 'mel' is {rows}, outside 2 to 6"):
        choose_profile(made, shapes_of(rows, frames))


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=12),
    st.floats(0, 0.5),
    st.sampled_from([1, 4]),
    st.sampled_from([AffineCost(), AffineCost(2, 30), MeasuredCost([(10, 1), (20, 4), (40, 3), (60, 9)])]),
)
def test_the_plan_is_that_of_trying_every_set_of_tops(found, price, multiple_of, cost):
    plan = plan_buckets(found, cost=cost, profile_price=price, max_profiles=4, multiple_of=multiple_of)
    tops = sorted({-(-length // multiple_of) * multiple_of for length in found})
    exact = sum(bucket.exact for bucket in buckets_for(found, tops, cost=cost))

    def total(buckets):
        return sum(bucket.padded for bucket in buckets) + price * exact * (len(buckets) - 1)

    best = min(
        total(buckets_for(found, [*inner, tops[-1]], cost=cost))
        for size in range(min(4, len(tops)))
        for inner in itertools.combinations(tops[:-1], size)
    )
    assert total(plan.buckets) == pytest.approx(best, rel=1e-9)
    assert plan.exact == pytest.approx(exact)
    assert plan.curve[len(plan.buckets) - 1].waste == pytest.approx(plan.waste, abs=1e-9)


def test_a_hundred_thousand_lengths_that_nearly_all_differ():
    found = np.random.default_rng(0).integers(100, 1_080_000, 100_000)
    plan = plan_buckets(found, multiple_of=1, max_profiles=6, profile_price=0)
    assert sum(bucket.num_items for bucket in plan.buckets) == 100_000
    # Of lengths spread evenly, six buckets of equal width waste one part in six.
    assert plan.waste == pytest.approx(1 / 6, abs=0.005)


def test_a_price_keeps_profiles_few():
    found = [100] * 10 + [200] * 10 + [208]
    assert [bucket.frames for bucket in plan_buckets(found, profile_price=0).buckets] == [
        (96, 104, 104),
        (105, 200, 200),
        (201, 208, 208),
    ]
    # The middle profile saves 80 of 3208 frames, which is 2.5 %.
    assert len(plan_buckets(found, profile_price=0.02).buckets) == 3
    assert len(plan_buckets(found, profile_price=0.03).buckets) == 2
    assert len(plan_buckets(found, profile_price=1).buckets) == 1


FOUND = {100: 98, 160: 1, 1000: 1}


def test_what_is_outside_is_refused_cut_or_taken_by_the_last_profile():
    refused = plan_buckets(FOUND, coverage=0.99)
    assert refused.buckets[-1].frames[2] == 160
    assert str(refused.coverage) == (
        "1 of 100 lengths (1 %, 9.12 % of the frames) are longer than planned for: refused"
    )
    cut = plan_buckets(FOUND, max_frames=167, outside="cut", profile_price=0)
    # 1000 frames are six pieces of 160 and one of 40.
    assert [bucket.num_items for bucket in cut.buckets] == [1, 98, 7]
    assert cut.exact == Workload.of(FOUND).frames
    extended = plan_buckets(FOUND, coverage=0.99, outside="extend", profile_price=0)
    assert extended.buckets[-1].frames == (105, 160, 1000)
    assert str(plan_buckets([5]).coverage) == "all 1 lengths lie inside"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coverage": 0}, "coverage must lie above 0 and at most at 1, got 0"),
        ({"batch_sizes": ()}, r"batch_sizes must be whole numbers of 1 or more, got \(\)"),
        ({"batch_sizes": 8}, "batch_sizes must be whole numbers of 1 or more, got 8"),
        ({"batch_sizes": [1.5, 8]}, "batch_sizes must be whole numbers of 1 or more"),
        ({"multiple_of": 8.5}, "multiple_of must be a whole number of 1 or more, got 8.5"),
        ({"outside": "drop"}, "outside must be one of"),
        ({"max_frames": 7}, r"max_frames must be multiple_of \(8\) or more, got 7"),
        ({"max_frames": 80}, "no length is within 80 frames, the shortest is 100"),
        ({"max_profiles": 0}, "max_profiles must be 1 or more, got 0"),
        ({"profile_price": float("nan")}, "profile_price must be 0 or more, got nan"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(ProfileError, match=message):
        plan_buckets(FOUND, **settings)


@pytest.mark.parametrize(
    "found", [[], [0], [1.5], [1e30], ["a"], {}, {5: -1}, {5.5: 1}, {"a": 1}, {0: 1}, [[1]]]
)
def test_what_is_no_workload_is_refused(found):
    with pytest.raises(ProfileError):
        plan_buckets(found)


def test_a_plan_comes_back_as_it_was_saved(tmp_path):
    plan = plan_buckets(FOUND, batch_sizes=[1, 2, 2, 8])
    assert plan.batch == (1, 8, 8)
    plan.save(tmp_path / "plan.json")
    assert ProfilePlan.load(tmp_path / "plan.json") == plan


COVERAGE = {"num_items": 4, "frames": 90, "outside_items": 1, "outside_frames": 30, "policy": "cut"}
BUCKET = {"frames": [1, 8, 8], "num_items": 2, "exact": 12.0, "padded": 16.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "x"}, 'must say "format"'),
        ({"batch": [1, 2]}, "malformed"),
        ({"batch": [4, 2, 8]}, "wanted 1 <= min <= opt <= max"),
        ({"buckets": []}, "at least one bucket"),
        ({"coverage": {}}, "malformed"),
        ({"coverage": {**COVERAGE, "policy": "x"}}, "policy must be one of"),
        ({"coverage": {**COVERAGE, "num_items": "4"}}, "wanted whole numbers"),
        ({"coverage": {**COVERAGE, "outside_items": 9}}, "no more outside than there is"),
        ({"buckets": [{**BUCKET, "exact": 0}]}, "a positive cost that padding does not lower"),
        ({"buckets": [{**BUCKET, "padded": 1}]}, "a positive cost that padding does not lower"),
        ({"buckets": [{**BUCKET, "num_items": 1e999}]}, "malformed"),
    ],
)
def test_a_file_that_is_no_plan_is_named(tmp_path, change, message):
    import json

    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**plan_buckets(FOUND).to_json(), **change}))
    with pytest.raises(ProfileError, match=rf"plan\.json: .*{message}"):
        ProfilePlan.load(path)
    with pytest.raises(ProfileError, match="no plan of profiles at"):
        ProfilePlan.load(tmp_path / "none.json")


def test_axes_that_are_neither_batch_nor_time_are_given_by_name():
    tokens = TensorSpec("tokens", "int64", ("batch", "tokens"))
    (profile,) = plan_buckets([100]).profiles([MEL, tokens], axes={"tokens": (1, 20, 448)})
    assert profile.shapes["tokens"].max == (8, 448)
    with pytest.raises(ProfileError, match=r"no input has an axis \['words'\]"):
        plan_buckets([100]).profiles([MEL], axes={"words": (1, 2, 3)})
