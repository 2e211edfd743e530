import numpy as np
import pytest

from benchmarks.native_calibrator.statistics import median_interval, summarise_times


def test_ratios_are_those_of_the_same_turn():
    base = [1.0, 2.0, 4.0, 1.0, 2.0]
    rows = summarise_times({"a": base, "b": [2 * value for value in base]}, "a")
    assert [row["engine"] for row in rows] == ["a", "b"]
    assert (rows[0]["median_ms"], rows[0]["median_ratio"]) == (2.0, 1.0)
    assert (rows[1]["median_ratio"], rows[1]["p10_ratio"], rows[1]["p90_ratio"]) == (2.0, 2.0, 2.0)
    assert rows[1]["ratio_interval"] == [2.0, 2.0]
    assert rows[1]["repetitions"] == 5


def test_the_interval_holds_the_median_and_narrows_with_samples():
    rng = np.random.default_rng(0)
    few, many = (median_interval(rng.normal(1, 0.1, size)) for size in (30, 3000))
    assert few[0] < 1 < few[1]
    assert many[1] - many[0] < (few[1] - few[0]) / 3
    assert many == pytest.approx([1, 1], abs=0.02)
