import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtforge.errors import QuantizationError
from trtforge.graph import quantize_weight
from trtforge.graph.weights import round_up


def test_hand_checked_channels():
    weight = np.array([[1.27, -0.64], [0.0, 0.0], [-25.4, 12.72]], np.float32)
    result = quantize_weight(weight, 0)
    assert result.values.tolist() == [[127, -64], [0, 0], [-127, 64]]
    np.testing.assert_allclose(result.scale, [0.01, 1 / 127, 0.2], rtol=1e-6)
    assert result.num_floored == 1
    assert result.values.dtype == np.int8


@pytest.mark.parametrize(("axis", "shape"), [(0, (3,)), (1, (4,)), (2, (5,)), (None, ())])
def test_scale_runs_along_the_axis(axis, shape):
    weight = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    result = quantize_weight(weight, axis)
    assert result.scale.shape == shape
    steps = np.abs(result.dequantized() - weight) / np.max(result.scale)
    assert steps.max() <= 0.5 + 1e-6


@given(st.floats(min_value=1e-9, max_value=8e6), st.sampled_from([np.float16, np.float32]))
@settings(deadline=None, max_examples=200)
def test_the_stored_scale_never_clips(amax, dtype):
    result = quantize_weight(np.array([amax, -amax / 3]), None, scale_dtype=dtype)
    assert result.scale.dtype == dtype
    assert float(result.scale) > 0
    assert float(result.scale) * 127 >= amax * (1 - 1e-12)
    assert np.abs(result.dequantized() - [amax, -amax / 3]).max() <= 0.5001 * float(result.scale)


def test_a_scale_below_the_smallest_half_becomes_the_smallest():
    assert float(round_up(1e-12, np.float16)) == 2.0**-24


def test_a_scale_above_the_largest_half_is_refused():
    with pytest.raises(QuantizationError, match="a scale of 70000 does not fit float16"):
        round_up(70000.0, np.float16)


def test_a_weight_that_is_not_finite_is_refused():
    with pytest.raises(QuantizationError, match="1 of 2 values are NaN or infinite"):
        quantize_weight(np.array([1.0, np.nan]), None)
