import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtforge.calibration import Observer


def observed(values):
    observer = Observer()
    tally = observer.observe(values)
    return observer.histogram(), tally


def assert_as_double(values):
    # Double precision is counted one by one, without blocks, so it is the standard here.
    assert observed(values) == observed(values.astype(np.float64))


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 1 << 30),
    size=st.integers(1, 5000),
    exponents=st.tuples(st.integers(-149, 127), st.integers(-149, 127)),
    zeros=st.floats(0, 1),
)
def test_blocks_count_as_single_values_do(seed, size, exponents, zeros):
    rng = np.random.default_rng(seed)
    scale = np.ldexp(rng.standard_normal(size), rng.integers(min(exponents), max(exponents) + 1, size))
    values = np.clip(scale, -3.4e38, 3.4e38).astype(np.float32)
    values[rng.random(size) < zeros] = 0
    assert_as_double(values)


@pytest.mark.parametrize("size", [1, 2, 1023, 1024, 1025, 2047, 2049, 4097])
def test_sizes_around_a_block(size):
    assert_as_double(np.random.default_rng(size).standard_normal(size).astype(np.float32))


@pytest.mark.parametrize("at", [0, 1, 1500, 3999])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -3.4028235e38, 2.0, 1e-45])
def test_odd_value_in_the_middle(at, value):
    values = np.random.default_rng(0).uniform(-1, 1, 4000).astype(np.float32)
    values[at] = value
    assert_as_double(values)


@pytest.mark.parametrize("value", [1e-45, 1.1754944e-38, 3.4028235e38, 1.0, np.nextafter(np.float32(1), 0)])
def test_ends_of_the_format(value):
    assert_as_double(np.full(3000, value, np.float32))


def test_powers_of_two_open_the_next_bin():
    histogram, tally = observed(np.repeat(np.float32([1, -0.5, 0, 0.25]), 1000))
    # The range is 0 to 2, so 1 lies at half of 4096 bins.
    assert {int(at): int(histogram.counts[at]) for at in np.flatnonzero(histogram.counts)} == {
        512: 1000,
        1024: 1000,
        2048: 1000,
    }
    assert (tally.num_zeros, tally.observed_max, histogram.exponent) == (1000, 1.0, 1)
