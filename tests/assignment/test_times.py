"""Times decide among what a budget allows; they are made up here, and the choice follows by hand."""

from dataclasses import replace

import pytest

from trtforge.assignment import ChoiceTime, Frontier, Point, Score, time_frontier
from trtforge.errors import BuildError, DeviceLostError

POINTS = tuple(
    Point(left_out, share, Score(snr_db, 1.0), excess)
    for left_out, share, snr_db, excess in (
        ((), 1.0, 20.0, ("SNR",)),
        (("a",), 0.9, 31.0, ()),
        (("a", "b"), 0.7, 34.0, ()),
        (("a", "b", "c"), 0.0, float("inf"), ()),
    )
)
REFINED = (Point(("b",), 0.8, Score(30.5, 1.0), ()),)


def timed(times, margin=0.02):
    asked = []

    def time_choice(left_out):
        asked.append(left_out)
        found = times[left_out]
        if isinstance(found, Exception):
            raise found
        return {"mel (8, 80, 500)": [found - 0.02, found, found + 0.02]}

    return time_frontier(Frontier(POINTS, REFINED, POINTS[1]), time_choice, margin=margin), asked


def test_the_fastest_within_the_budget_is_chosen():
    found, asked = timed({(): 0.5, ("a",): 0.7, ("a", "b"): 0.65, ("b",): 0.6})
    assert found.chosen.left_out == ("b",)
    assert found.chosen.time == ChoiceTime(pytest.approx(0.6), pytest.approx(0.59), pytest.approx(0.61))
    # The fastest of all is beyond the budget; FP16 is known without being built.
    assert [point.time.ratio for point in found.points] == pytest.approx([0.5, 0.7, 0.65, 1.0])
    assert asked == [(), ("a",), ("a", "b"), ("b",)]


def test_what_gains_less_than_the_margin_does_not_take_work_from_int8():
    found, _ = timed({(): 0.5, ("a",): 0.7, ("a", "b"): 0.69, ("b",): 0.685})
    assert found.chosen.left_out == ("a",)
    nearer, _ = timed({(): 0.5, ("a",): 0.7, ("a", "b"): 0.69, ("b",): 0.685}, margin=0.01)
    assert nearer.chosen.left_out == ("b",)


def test_fp16_is_chosen_where_all_of_int8_loses():
    found, _ = timed({(): 1.5, ("a",): 1.4, ("a", "b"): 1.2, ("b",): 1.3})
    assert found.chosen.left_out == ("a", "b", "c")


def test_a_choice_that_cannot_be_built_is_noted_and_not_taken():
    broken = BuildError("no implementation")
    found, _ = timed({(): 0.5, ("a",): broken, ("a", "b"): 0.9, ("b",): broken})
    assert found.points[1].time.error == "no implementation"
    assert found.chosen.left_out == ("a", "b")
    assert found.points[1].to_json()["time"] == {
        "ratio": None, "low": None, "high": None, "error": "no implementation",
    }  # fmt: skip
    with pytest.raises(DeviceLostError, match="gone"):
        timed({(): DeviceLostError("gone")})


def test_without_any_choice_that_could_be_built_nothing_is_chosen():
    frontier = Frontier(POINTS[:2], (), POINTS[1])

    def time_choice(left_out):
        raise BuildError(f"no implementation without {', '.join(left_out)}")

    with pytest.raises(
        BuildError, match=r"could be built and timed; .*: no implementation without a\nhint"
    ) as caught:
        time_frontier(frontier, time_choice)
    assert caught.value.hint.startswith("put the choice that leaves out every layer among the points")
    # With FP16 among the points there is an answer, and it is known without a build.
    found = time_frontier(Frontier(POINTS, (), POINTS[1]), time_choice)
    assert found.chosen == replace(POINTS[3], time=ChoiceTime(1.0, 1.0, 1.0))


def test_shapes_count_alike():
    one, two = [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]
    found = ChoiceTime.of({"small": one, "large": two})
    assert found.ratio == pytest.approx((0.5 * 0.8) ** 0.5)
    assert (found.low, found.high) == pytest.approx(((0.45 * 0.75) ** 0.5, (0.55 * 0.85) ** 0.5))


def test_what_was_not_timed_says_nothing_of_it():
    assert "time" not in POINTS[0].to_json()
