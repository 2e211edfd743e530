import time

import numpy as np
import pytest

from benchmarks.detection.runs import Laboratory, Outcome, broken, nearly
from benchmarks.detection.simulate import seeded, simulate, unchanged, verdict_of
from benchmarks.detection.speed import measure_speed, spinning
from tests.bundled import MODEL, ROOT, TEST_SET, some_clips
from trtforge.checks import CheckConfig, Timings
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
    assert [(row["kind"], row["num_clips"], row["num_words"]) for row in rows] == [
        ("unchanged", 24, 264),
        ("2 points", 24, 264),
        ("one broken scale", 24, 264),
        ("unchanged", 240, 2640),
        ("2 points", 240, 2640),
        ("one broken scale", 240, 2640),
    ]
    assert all(row["pass"] + row["fail"] + row["undecided"] == 5 for row in rows)
    assert [row["undecided"] for row in rows if row["kind"] == "unchanged"] == [5, 0]
    assert [row["fail"] for row in rows if row["kind"] == "one broken scale"] == [5, 5]
    assert rows[4]["fail"] == 5


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
    assert (accepted.snr_db - spoiled.snr_db).min() > 2
    everything = np.arange(laboratory.words.size)
    assert verdict_of(accepted, spoiled, laboratory.words, everything, CONFIG) == "fail"
    assert verdict_of(accepted, again, laboratory.words, everything, CONFIG) == "undecided"


def test_a_slowed_call_does_its_work_and_takes_longer():
    done = []
    begin = time.perf_counter()
    spinning(lambda: done.append(1), 3)()
    assert time.perf_counter() - begin >= 0.003
    assert done == [1]


def test_each_run_is_judged_against_another(monkeypatch):
    # Times by hand: on a busy machine real ones would decide nothing.
    noise = np.random.default_rng(0)

    def timed(reference, candidate, *, num_rounds):
        slow = 1.5 if candidate is not plain else 1.0
        return Timings((10.0,) * num_rounds, tuple(5 * slow * noise.normal(1, 0.005, num_rounds)))

    def plain():
        pass

    monkeypatch.setattr("benchmarks.detection.speed.time_side_by_side", timed)
    settings = {"runs": 4, "rounds": 12, "slowdown": 0.5, "config": CONFIG, "on_progress": lambda *_: None}
    rows = measure_speed(plain, plain, **settings)
    assert [(row["kind"], row["runs"], row["rounds"], row["pass"], row["fail"]) for row in rows] == [
        ("unchanged", 4, 12, 4, 0),
        ("50 % slower", 4, 12, 0, 4),
    ]
    assert rows[1]["ratio"] == pytest.approx(0.75, abs=0.01)
