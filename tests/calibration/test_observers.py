import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from trtforge.calibration import NUM_BINS, Histogram, Observer, Tally
from trtforge.errors import CalibrationError


def observed(*arrays):
    observer = Observer()
    for array in arrays:
        observer.observe(np.asarray(array))
    return observer.histogram()


def by_definition(values):
    """Count with exact arithmetic on Python floats."""
    finite = [abs(float(v)) for v in np.ravel(values) if math.isfinite(v)]
    largest = max(finite, default=0.0)
    exponent = -1000
    while largest > 0 and largest >= Fraction(2) ** exponent:
        exponent += 1
    counts = np.zeros(NUM_BINS, np.int64)
    for value in finite:
        if value > 0:
            counts[math.floor(math.ldexp(value, 12 - exponent))] += 1
    return Histogram(
        counts=counts,
        exponent=exponent,
        num_zeros=sum(value == 0 for value in finite),
        num_nonfinite=np.size(values) - len(finite),
        observed_max=largest,
    )


# Powers of two and their neighbours lie on bin edges, where a count could go either way.
edges = st.integers(-40, 40).flatmap(
    lambda e: st.sampled_from([2.0**e, -(2.0**e), np.nextafter(2.0**e, 0), np.nextafter(2.0**e, np.inf)])
)
magnitudes = st.one_of(
    edges,
    st.floats(-(2.0**40), 2.0**40, allow_nan=False),
    st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf]),
)
samples = st.lists(magnitudes, max_size=60).map(lambda values: np.array(values, np.float64))


class TestExactness:
    @settings(deadline=None)
    @given(samples)
    def test_counts_are_those_of_the_definition(self, values):
        assert observed(values) == by_definition(values)

    @settings(deadline=None)
    @given(npst.arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32)))
    def test_float32(self, values):
        assert observed(values) == by_definition(values)

    @settings(deadline=None)
    @given(npst.arrays(np.float16, st.integers(0, 40), elements=st.floats(width=16)))
    def test_float16(self, values):
        assert observed(values) == by_definition(values)

    def test_ends_of_float64(self):
        values = np.array([5e-324, 1.7976931348623157e308, 2.0**-1030])
        assert observed(values) == by_definition(values)
        assert observed(values[[0, 2]]).counts[0] == 2

    @pytest.mark.parametrize("exponent", [-30, 0, 7])
    def test_a_power_of_two_opens_the_next_range(self, exponent):
        value = 2.0**exponent
        histogram = observed([value])
        assert histogram.exponent == exponent + 1
        assert np.flatnonzero(histogram.counts).tolist() == [2048]
        assert observed([np.nextafter(value, 0)]).exponent == exponent

    def test_growth_adds_neighbouring_bins(self):
        observer = Observer()
        observer.observe(np.array([1 / 4096, 2 / 4096, 3 / 4096, 0.75]))
        assert np.flatnonzero(observer.histogram().counts).tolist() == [1, 2, 3, 3072]
        observer.observe(np.array([1.0]))
        assert {int(i): int(observer.histogram().counts[i]) for i in (0, 1, 1536, 2048)} == {
            0: 1,
            1: 2,
            1536: 1,
            2048: 1,
        }


class TestOrder:
    @settings(deadline=None)
    @given(samples, st.randoms(use_true_random=False), st.integers(1, 16))
    def test_any_shuffle_and_batch_size(self, values, random, batch_size):
        order = list(range(len(values)))
        random.shuffle(order)
        shuffled = values[order]
        batches = [shuffled[start : start + batch_size] for start in range(0, len(values), batch_size)]
        assert observed(*batches) == observed(values)

    @settings(deadline=None)
    @given(samples, samples, samples)
    def test_merged_parts_are_the_whole(self, first, second, third):
        whole = observed(np.concatenate((first, second, third)))
        a, b, c = observed(first), observed(second), observed(third)
        assert a.merge(b).merge(c) == c.merge(a.merge(b)) == a.merge(b.merge(c)) == whole
        observer = Observer()
        observer.observe(first)
        observer.merge(b)
        other = Observer()
        other.observe(third)
        observer.merge(other)
        assert observer.histogram() == whole


class TestLayouts:
    def test_strides_and_orders(self):
        values = np.random.default_rng(0).standard_normal((6, 7, 50)).astype(np.float32)
        want = observed(np.ascontiguousarray(values[:, ::2, 3:40]))
        for layout in (
            values[:, ::2, 3:40],
            np.asfortranarray(values)[:, ::2, 3:40],
            values[::-1, ::2, 3:40],
        ):
            assert observed(layout) == want
        assert observed(values.transpose(2, 0, 1)) == observed(values)
        read_only = values.copy()
        read_only.setflags(write=False)
        assert observed(read_only) == observed(values)

    def test_more_values_than_one_chunk_holds(self):
        values = np.random.default_rng(1).standard_normal((3, 40_000))
        assert observed(values[:, :30_001]) == observed(*values[:, :30_001].copy())
        half = values.astype(np.float16)
        assert observed(half) == observed(half.astype(np.float64))

    def test_scalars_and_empty_arrays(self):
        assert observed(np.float32(2.5)).observed_max == 2.5
        assert observed(np.zeros((0, 4), np.float16), np.zeros(0)) == Histogram()

    def test_broadcast_views_count_every_repetition(self):
        assert observed(np.broadcast_to(np.float32(1.5), (3, 4))).num_values == 12


class TestTally:
    def test_tells_what_one_call_saw(self):
        observer = Observer()
        observer.observe(np.array([9.0, 0.0]))
        tally = observer.observe(np.array([[1.0, -2.0], [0.0, math.nan]]))
        assert tally == Tally(num_values=3, num_zeros=1, num_nonfinite=1, observed_max=2.0)
        histogram = observer.histogram()
        assert (histogram.num_values, histogram.num_zeros, histogram.num_nonfinite) == (5, 2, 1)
        assert histogram.counts.sum() == 3

    def test_other_dtypes_are_refused(self):
        with pytest.raises(CalibrationError, match=r"only float16, float32 and float64 .* got int64"):
            Observer().observe(np.arange(3))

    def test_histogram_is_a_copy(self):
        observer = Observer()
        observer.observe(np.ones(3))
        before = observer.histogram()
        observer.observe(np.ones(4))
        assert (before.num_values, observer.histogram().num_values) == (3, 7)
        assert "num_values=7" in repr(observer)
