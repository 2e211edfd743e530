import json
import math

import numpy as np
import pytest

from trtforge.accuracy import OutputMetrics, measure_output
from trtforge.errors import InputError


def test_by_hand():
    metrics = measure_output(np.array([[3.0, 4.0]]), np.array([[3.0, 3.5]]))
    # signal 25, noise 0.25: 20 dB
    assert metrics.snr_db == pytest.approx(20.0)
    assert metrics.cosine == pytest.approx((9 + 14) / (5 * math.sqrt(9 + 12.25)))
    assert metrics.max_abs_error == 0.5
    assert metrics.mean_abs_error == 0.25
    assert (metrics.max_rel_error, metrics.mean_rel_error) == (0.125, 0.0625)
    assert (metrics.num_positions, metrics.num_agreeing, metrics.argmax_agreement) == (1, 1, 1.0)


def test_parts_add_up_to_the_whole():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(4, 50, 6)).astype(np.float32)
    y = (x + generator.normal(scale=0.5, size=x.shape)).astype(np.float16)
    whole = measure_output(x, y)
    parts = sum((measure_output(x[row], y[row]) for row in range(4)), start=OutputMetrics())
    for figure in (
        "snr_db",
        "cosine",
        "mean_abs_error",
        "max_abs_error",
        "mean_rel_error",
        "max_rel_error",
        "argmax_agreement",
        "num_positions",
    ):
        assert getattr(parts, figure) == pytest.approx(getattr(whole, figure)), figure
    assert whole.argmax_agreement == np.mean(x.argmax(-1) == y.argmax(-1))


def test_edges():
    same = measure_output(np.ones(3), np.ones(3))
    assert same.snr_db == math.inf
    assert same.to_json()["snr_db"] is None
    assert math.isnan(same.argmax_agreement)
    assert measure_output(np.zeros(3), np.ones(3)).snr_db == -math.inf
    assert measure_output(np.zeros((2, 3), np.int64), np.ones((2, 3), np.int64)).num_positions == 0
    assert math.isnan(measure_output(np.zeros(3), np.ones(3)).mean_rel_error)
    assert measure_output(np.zeros((0, 3)), np.zeros((0, 3))).num_values == 0


def test_values_that_are_not_finite_are_left_out_and_counted():
    metrics = measure_output(np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[np.nan, 2.0], [3.0, 1.0]]))
    assert (metrics.num_values, metrics.num_skipped, metrics.num_positions) == (3, 1, 1)
    assert metrics.max_abs_error == 1.0


def test_shapes_must_match():
    with pytest.raises(InputError, match=r"shapes \[2, 3\] and \[3, 2\]"):
        measure_output(np.zeros((2, 3)), np.zeros((3, 2)))


def test_json_round_trip():
    metrics = measure_output(np.array([[1.0, 2.0]]), np.array([[1.5, 2.0]]))
    assert OutputMetrics.from_json(json.loads(json.dumps(metrics.to_json(), allow_nan=False))) == metrics
