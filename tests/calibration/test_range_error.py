"""Ranges that cost far more than another would."""

import math

import numpy as np
import pytest

from tests.calibration.test_thresholds import observed
from trtforge.calibration import Observations, choose
from trtforge.calibration.range_error import int8_snr_db, poor_ranges
from trtforge.scales import Scales, TensorScale

# A million values up to 1, and a thousand up to 30 that hold half of the energy.
BULK, TAIL = np.linspace(0, 1, 1_000_000), np.linspace(0, 30, 1_000)
HEAVY = observed(np.concatenate([BULK, TAIL]))
ENERGY = 1e6 / 3 + 1e3 * 30**2 / 3


def ranges(**amax):
    tensors = {name: TensorScale(amax=value, observed_max=30.0) for name, value in amax.items()}
    return Scales(tensors, method="entropy", model_sha256="a" * 64, feeds_sha256="b" * 64, num_clips=1)


def test_the_error_is_that_of_rounding_and_of_what_is_cut_off():
    values = np.concatenate([BULK, TAIL])
    noise = np.square(values - np.rint(values * 127 / 30) * 30 / 127).sum()
    assert int8_snr_db(HEAVY, 30.0) == pytest.approx(10 * math.log10(ENERGY / noise), abs=0.05)
    # Above 1, all of x - 1 is lost: (30 - 1)**3 / 3 over 30, a thousand times.
    cut = 1e3 * 29**3 / 3 / 30
    assert int8_snr_db(HEAVY, 1.0) == pytest.approx(10 * math.log10(ENERGY / cut), abs=0.05)


def test_ranges_far_from_the_best_are_found_the_worst_first():
    observations = Observations({"a": HEAVY, "b": HEAVY, "c": HEAVY}, "a" * 64, "b" * 64, num_clips=1)
    found = poor_ranges(observations, ranges(a=5.0, b=1.0, c=28.0))
    assert [row.tensor for row in found] == ["b", "a"]
    assert found[0].snr_db == pytest.approx(3.67, abs=0.05)
    assert found[0].best_snr_db > 21
    assert poor_ranges(observations, choose(observations, "mse")) == ()


def test_a_tensor_of_zeros_has_no_poor_range():
    observations = Observations({"a": observed(np.zeros(9))}, "a" * 64, "b" * 64, num_clips=1)
    assert poor_ranges(observations, choose(observations, "max")) == ()
