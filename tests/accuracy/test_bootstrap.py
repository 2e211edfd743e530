import math

import numpy as np
import pytest

from trtforge.accuracy import BootstrapConfig, Interval, difference_interval, rate_interval
from trtforge.accuracy.bootstrap import resample_sums
from trtforge.errors import ConfigError, InputError


def test_interval_matches_the_binomial():
    # 400 clips of one word, 100 wrong: the standard error is sqrt(0.25 * 0.75 / 400) = 0.02165
    errors = np.arange(400) < 100
    interval = rate_interval(errors, np.ones(400), BootstrapConfig(num_resamples=10_000))
    error = math.sqrt(0.25 * 0.75 / 400)
    assert interval.low == pytest.approx(0.25 - 1.96 * error, abs=0.004)
    assert interval.high == pytest.approx(0.25 + 1.96 * error, abs=0.004)


def test_equal_clips_leave_no_doubt():
    assert rate_interval([1] * 20, [10] * 20) == Interval(0.1, 0.1)


def test_long_clips_weigh_by_their_words():
    sums = resample_sums(np.array([[1, 10], [2, 90]]), BootstrapConfig(num_resamples=200))
    assert {tuple(row) for row in sums.tolist()} == {(2, 20), (3, 100), (4, 180)}


def test_draws_are_the_same_however_they_are_cut(monkeypatch):
    columns = np.random.default_rng(0).integers(20, size=(50, 2))
    whole = resample_sums(columns, BootstrapConfig())
    monkeypatch.setattr("trtforge.accuracy.bootstrap._MAX_DRAWS", 50 * 7)
    assert (resample_sums(columns, BootstrapConfig()) == whole).all()


def test_pairing_narrows_the_difference_of_correlated_systems():
    generator = np.random.default_rng(3)
    words = generator.integers(5, 15, 240)
    hard = generator.beta(0.5, 2, 240)
    reference = generator.binomial(words, hard)
    candidate = np.minimum(words, reference + (generator.random(240) < 0.05))
    paired = difference_interval(reference, candidate, words)
    separate = [rate_interval(errors, words) for errors in (reference, candidate)]
    width = math.hypot(*(interval.high - interval.low for interval in separate))
    assert paired.high - paired.low < 0.3 * width
    assert paired.low > 0


def test_equal_systems_differ_by_nothing():
    assert difference_interval([1, 0, 2], [1, 0, 2], [5, 5, 5]) == Interval(0.0, 0.0)


def test_seeded():
    errors, words = np.arange(30) % 4, np.full(30, 8)
    first, again = (rate_interval(errors, words, BootstrapConfig(seed=5)) for _ in range(2))
    assert first == again
    assert first != rate_interval(errors, words, BootstrapConfig(seed=6))


def test_no_interval_where_there_is_nothing_to_draw():
    assert rate_interval([1], [4]) is None
    assert rate_interval([1, 2], [0, 0]) is None
    assert rate_interval([], []) is None


def test_bad_settings_and_counts_are_refused():
    with pytest.raises(ConfigError, match="at least 100, got 10"):
        BootstrapConfig(num_resamples=10)
    with pytest.raises(ConfigError, match=r"between 0 and 1, got 95"):
        BootstrapConfig(confidence=95)
    with pytest.raises(InputError, match=r"got shapes \[2\], \[3\]"):
        rate_interval([1, 2], [1, 2, 3])


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    generator = np.random.default_rng(11)
    held = 0
    for trial in range(200):
        errors = generator.binomial(10, 0.2, 100)
        interval = rate_interval(errors, np.full(100, 10), BootstrapConfig(num_resamples=500, seed=trial))
        held += interval.low <= 0.2 <= interval.high
    assert 180 <= held <= 199
