import time

import numpy as np
import pytest

from benchmarks.detection.noise import NOISES, simulate_speed
from benchmarks.detection.runs import Laboratory, Outcome, broken, nearly
from benchmarks.detection.simulate import (
    BROKEN,
    LOUD,
    RESOLVED,
    clips_for,
    resolvable_points,
    seeded,
    simulate,
    unchanged,
    verdict_of,
)
from benchmarks.detection.speed import judge_pairs, measure_speed, spinning, time_run
from tests.bundled import MODEL, ROOT, TEST_SET, some_clips
from trtforge.checks import CheckConfig
from trtforge.model import load_model
from trtforge.scales import Scales

WORDS = np.full(240, 11)
ACCEPTED = Outcome(np.arange(240) % 5, np.full(240, 25.0))
CONFIG = CheckConfig()


def test_a_rebuild_takes_each_clip_from_one_of_those_measured():
    rebuilds = [Outcome(np.full(50, value), np.full(50, 20.0 + value)) for value in (0, 1, 2)]
    now = unchanged(rebuilds, np.random.default_rng(0))
    assert set(now.errors) == {0, 1, 2}
    assert (now.snr_db == 20 + now.errors).all()


def test_seeded_errors_raise_the_rate_by_what_is_asked_and_spare_words_that_were_wrong():
    generator = np.random.default_rng(0)
    rises = [seeded(ACCEPTED, WORDS, 0.5, generator).errors.sum() - ACCEPTED.errors.sum() for _ in range(400)]
    # 0.5 % of 2640 words are 13.2; the mean of 400 Poisson counts is within 3 * sqrt(13.2 / 400)
    assert np.mean(rises) == pytest.approx(13.2, abs=0.55)
    all_wrong = Outcome(WORDS.copy(), ACCEPTED.snr_db)
    all_wrong.errors[0] = 0
    assert (seeded(all_wrong, WORDS, 0.1, generator).errors[1:] == 11).all()


def test_verdicts_of_each_kind_are_counted():
    deaf = Outcome(ACCEPTED.errors, ACCEPTED.snr_db - 9)
    rows = simulate(
        ACCEPTED,
        [ACCEPTED],
        [{"tensor": "x", "factor": 4.0, "outcome": deaf}],
        WORDS,
        sizes=(24, 240),
        points=(2.0,),
        trials=5,
        config=CONFIG,
    )
    kinds = ["unchanged", "2 points", RESOLVED, BROKEN, LOUD]
    assert [(row["kind"], row["num_clips"], row["num_words"]) for row in rows] == [
        (kind, size, 11 * size) for size in (24, 240) for kind in kinds
    ]
    assert all(row["pass"] + row["fail"] + row["undecided"] == 5 for row in rows)
    assert [row["undecided"] for row in rows if row["kind"] == "unchanged"] == [5, 0]
    assert [row["fail"] for row in rows if row["kind"] == "one broken scale"] == [5, 5]
    assert [row["points"] for row in rows[:2]] == [None, 2.0]
    assert rows[6]["fail"] == 5


def test_what_can_be_resolved_by_hand():
    # Rebuilds that change nothing: c = 2.576 + 2.326, and n d = c sqrt(n d), so d = c^2 / n
    none = resolvable_points(ACCEPTED, [ACCEPTED], WORDS, 240, CONFIG)
    assert none == pytest.approx(100 * (2.5758 + 2.3263) ** 2 / 2640, rel=1e-3)
    noisy = Outcome(ACCEPTED.errors + np.arange(240) % 2, ACCEPTED.snr_db)
    step = resolvable_points(ACCEPTED, [noisy], WORDS, 240, CONFIG)
    assert step > none
    assert clips_for(step, ACCEPTED, [noisy], WORDS, CONFIG) == 240


def test_a_real_broken_scale_is_found_on_a_few_clips():
    model = load_model(MODEL)
    scales = Scales.load(ROOT / "examples/gated_project/scales.json")
    laboratory = Laboratory(model, some_clips(TEST_SET, 10))
    accepted = laboratory.run(scales)
    again = laboratory.run(nearly(scales, np.random.default_rng(0), 0.001))
    spoiled = laboratory.run(broken(scales, "blocks.3.relu", 0.25))
    assert laboratory.words.sum() > 60
    assert accepted.snr_db.mean() > 20
    assert abs(again.snr_db - accepted.snr_db).mean() < 1
    assert (accepted.snr_db - spoiled.snr_db).min() > 1.5
    assert verdict_of(accepted, spoiled, laboratory.words, CONFIG) == "fail"
    assert verdict_of(accepted, again, laboratory.words, CONFIG) == "undecided"
    assert Outcome.from_json(accepted.to_json()).errors.tolist() == accepted.errors.tolist()


def test_a_slowed_call_does_its_work_and_takes_longer():
    done = []
    begin = time.perf_counter()
    spinning(lambda: done.append(1), 3)()
    assert time.perf_counter() - begin >= 0.003
    assert done == [1]


def test_runs_are_timed_in_processes_of_their_own():
    done = []
    found = measure_speed(
        MODEL, MODEL, runs=2, rounds=2, slowdown=0.5, on_progress=lambda *step: done.append(step)
    )
    assert {kind: len(ratios) for kind, ratios in found.items()} == {"unchanged": 2, "50 % slower": 2}
    assert done == [(1, 2), (2, 2)]
    plain, slow = time_run(MODEL, MODEL, 3, 4.0)
    assert len(plain.ratios) == 3
    assert np.median(slow.ratios) > np.median(plain.ratios)


def test_sets_of_runs_are_judged_against_each_other():
    # Ratios by hand: on a busy machine real ones would decide nothing.
    plain = [0.5 + 0.0001 * (index % 7) for index in range(20)]
    ratios = {"unchanged": plain, "50 % slower": [1.5 * ratio for ratio in plain]}
    rows = judge_pairs(ratios, CONFIG, trials=6, rounds=3)
    assert [(row["kind"], row["runs"], row["pass"], row["fail"]) for row in rows] == [
        ("unchanged", 20, 6, 0),
        ("50 % slower", 20, 0, 6),
    ]
    assert rows[1]["ratio"] == pytest.approx(0.75, abs=0.01)
    assert judge_pairs({"unchanged": plain[:15]}, CONFIG, trials=6, rounds=3) == []


def test_noise_has_the_spread_and_the_memory_that_it_is_told():
    independent, kept, apart, _ = NOISES
    generator = np.random.default_rng(0)
    values = np.log(kept.ratios(generator, 400, 10))
    assert values.std() == pytest.approx(0.01, rel=0.1)
    neighbours = np.corrcoef(values[:, :-1].ravel(), values[:, 1:].ravel())[0, 1]
    assert neighbours == pytest.approx(0.9, abs=0.03)
    assert abs(np.corrcoef(*np.log(independent.ratios(generator, 2, 3000)))[0, 1]) < 0.1
    means = np.log(apart.ratios(generator, 400, 10)).mean(axis=1)
    assert means.std() == pytest.approx((0.01**2 + 0.005**2 / 10) ** 0.5, rel=0.1)


def test_judging_by_runs_keeps_the_false_alarm_rate_where_rounds_do_not():
    found = simulate_speed(CONFIG, trials=60, slowdown=0.05)
    rows = {(row["noise"], row["kind"], row["judged_by"]): row for row in found}
    for noise in NOISES:
        assert rows[noise.name, "just allowed", "runs"]["fail"] <= 3
        assert rows[noise.name, "unchanged", "runs"]["fail"] <= 1
    assert rows[NOISES[3].name, "just allowed", "rounds"]["fail"] > 10
