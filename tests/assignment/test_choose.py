"""Ranking and choosing are pure: the numbers here can be checked by hand."""

import math

import pytest

from trtforge.assignment import (
    AccuracyBudget,
    LayerGroup,
    Score,
    Sensitivity,
    StratumScore,
    choose_assignment,
    rank,
)
from trtforge.errors import ConfigError

SHARES = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}


def score(snr_db, errors=None, babble=None):
    if errors is None:
        return Score(snr_db, 1.0)
    strata = {"noise=babble": StratumScore(40, 200, 20, 20 if babble is None else babble)}
    return Score(snr_db, 1.0, StratumScore(100, 1000, 100, errors), strata)


def additive(noise):
    """Score choices whose noises add up; remember what was asked for."""
    asked = []

    def score_all(choices):
        asked.extend(choices)
        totals = [sum(value for name, value in noise.items() if name not in choice) for choice in choices]
        return [Score(-10 * math.log10(total) if total else math.inf, 1.0) for total in totals]

    return score_all, asked


def test_noise_is_the_inverse_of_the_ratio():
    assert score(20.0).noise == pytest.approx(0.01)
    assert score(math.inf).noise == 0.0


def test_groups_are_ranked_by_noise_for_their_share_of_the_work():
    def row(name, share, alone, left_out):
        return Sensitivity(LayerGroup(name, (name,), 1), share, Score(alone, 1.0), Score(left_out, 1.0))

    # All together 0.02. "a": alone 0.01, saves 0.01, so 0.01 / 0.5 = 0.02; "b": alone 0.001, saves 0.019, so
    # 0.01 / 0.25 = 0.04; "c" saves nothing: 0.001 / 2 / 0.25 = 0.002.
    rows = [row("a", 0.5, 20.0, 20.0), row("b", 0.25, 30.0, 30.0), row("c", 0.25, 30.0, 10.0)]
    assert rank(rows, Score(-10 * math.log10(0.02), 1.0)) == ("b", "a", "c")
    equal = [row("y", 0.5, 20.0, 20.0), row("x", 0.5, 20.0, 20.0)]
    assert rank(equal, Score(17.0, 1.0)) == ("y", "x")


def test_groups_are_left_out_until_the_budget_is_met():
    score_all, asked = additive({"a": 0.008, "b": 0.001, "c": 0.0005, "d": 0.0005})
    found = choose_assignment(SHARES, ("a", "b", "c", "d"), AccuracyBudget(snr_db=25.0), score_all)
    assert [point.left_out for point in found.points] == [
        (), ("a",), ("a", "b"), ("a", "b", "c"), ("a", "b", "c", "d"),
    ]  # fmt: skip
    assert [point.int8_share for point in found.points] == pytest.approx([1.0, 0.9, 0.7, 0.4, 0.0])
    assert found.points[0].excess == ("SNR 20.00 dB, at least 25",)
    assert found.chosen == found.points[1]
    assert found.points[-1].score == Score(math.inf, 1.0)
    assert frozenset(SHARES) not in asked


def test_what_the_budget_can_bear_comes_back_the_largest_first():
    # The ranking is wrong here: "d" costs nothing.
    score_all, _ = additive({"a": 0.001, "b": 0.02, "c": 0.002, "d": 0.0})
    found = choose_assignment(SHARES, ("d", "c", "b", "a"), AccuracyBudget(snr_db=26.9), score_all)
    assert found.points[3].left_out == ("b", "c", "d")
    assert [point.left_out for point in found.refined] == [("b", "c"), ("b",), ("c",)]
    assert [bool(point.excess) for point in found.refined] == [False, True, True]
    assert found.chosen.left_out == ("b", "c")
    assert found.chosen.int8_share == pytest.approx(0.5)


def test_all_in_int8_where_the_budget_allows_it():
    score_all, asked = additive(dict.fromkeys(SHARES, 0.0001))
    found = choose_assignment(SHARES, tuple(SHARES), AccuracyBudget(snr_db=30.0), score_all)
    assert (found.chosen.left_out, found.refined) == ((), ())
    assert len(asked) == 4


def test_of_many_groups_evenly_spaced_points_are_tried():
    shares = {f"g{n:02}": 0.01 for n in range(100)}
    score_all, _ = additive(dict.fromkeys(shares, 1e-6))
    found = choose_assignment(shares, tuple(shares), AccuracyBudget(snr_db=30.0), score_all, max_points=5)
    assert [len(point.left_out) for point in found.points] == [0, 25, 50, 75, 100]


def test_words_are_judged_overall_and_in_each_stratum_that_is_large_enough():
    budget = AccuracyBudget(wer_increase=0.003, stratum_wer_increase=0.005)
    assert budget.excess(score(30.0, errors=103, babble=21)) == ()
    assert budget.excess(score(30.0, errors=104, babble=22)) == (
        "overall +0.40 points of WER, at most +0.30",
        "noise=babble +1.00 points of WER, at most +0.50",
    )
    assert budget.worst_stratum(score(30.0, errors=104, babble=22)) == ("noise=babble", 0.01)
    small = AccuracyBudget(stratum_wer_increase=0.0, min_clips=41)
    assert small.excess(score(30.0, errors=104, babble=22)) == ()
    assert AccuracyBudget.from_json(budget.to_json()) == budget


def test_a_budget_bounds_something():
    with pytest.raises(ConfigError, match="the budget bounds nothing") as caught:
        AccuracyBudget()
    assert "snr_db" in caught.value.hint
    with pytest.raises(ConfigError, match="snr_db must be a finite number, got nan"):
        AccuracyBudget(snr_db=math.nan)
    with pytest.raises(ConfigError, match="wer_increase must be a finite number, got inf"):
        AccuracyBudget(wer_increase=math.inf)
    with pytest.raises(ConfigError, match=r"must not be negative, got -0\.01: FP32 itself would not meet it"):
        AccuracyBudget(wer_increase=-0.01)


def test_scores_go_through_json():
    for one in (score(math.inf), score(31.5, errors=104, babble=22)):
        assert Score.from_json(one.to_json()) == one
    assert Score.exact(score(31.5, errors=104, babble=22)) == score(math.inf, errors=100, babble=20)
