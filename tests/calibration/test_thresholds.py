import math

import numpy as np
import pytest

from benchmarks.bench_thresholds import five_hundred, measure
from tests.calibration import reference_entropy
from trtforge.calibration import (
    Histogram,
    Observer,
    entropy_amax,
    entropy_index,
    max_amax,
    mse_amax,
    percentile_amax,
)
from trtforge.calibration.thresholds import _divergences
from trtforge.errors import CalibrationError, ConfigError


def observed(values):
    observer = Observer()
    observer.observe(np.asarray(values, np.float64))
    return observer.histogram()


def random_counts(rng, num_bins):
    """One histogram of a kind drawn at random; its last bin may be empty."""
    kind = rng.integers(9)
    position = (np.arange(num_bins) + 0.5) / num_bins
    if kind == 0:  # bell
        density = np.exp(-0.5 * (position * rng.uniform(2, 12)) ** 2)
    elif kind == 1:  # heavy tail
        density = (1 + position * rng.uniform(5, 500)) ** -rng.uniform(1.2, 4)
    elif kind == 2:  # spikes
        density = np.where(rng.random(num_bins) < 0.02, rng.random(num_bins) ** 4, 0)
    elif kind == 3:  # empty tail
        density = np.exp(-position * 10) * (position < rng.uniform(0.1, 0.9))
    elif kind == 4:  # a crowd at zero
        density = np.exp(-position * 20)
        density[0] += rng.uniform(1, 1000)
    elif kind == 5:  # a single bin
        density = np.zeros(num_bins)
        density[rng.integers(num_bins)] = 1
    elif kind == 6:  # outliers far from the rest
        density = np.exp(-position * 60)
        density[-1] = rng.uniform(1e-6, 1e-2)
    elif kind == 7:  # a few values in all
        density = np.exp(-position * rng.uniform(0, 20))
    else:  # flat
        density = np.ones(num_bins)
    density = density / max(density.sum(), 1e-300)
    total = rng.integers(1, 1000) if kind in (5, 7) else 10 ** rng.uniform(0, 9)
    counts = rng.poisson(density * total).astype(np.int64)
    if not counts.any():
        counts[rng.integers(num_bins)] = 1
    return counts


class TestEntropyByHand:
    def test_divergence_of_four_bins_on_two_levels(self):
        counts = np.array([4, 2, 1, 1], np.int64)
        # All kept: P = (4, 2, 1, 1) / 8, Q = (3, 3, 1, 1) / 8.
        all_kept = (4 * math.log(4 / 3) + 2 * math.log(2 / 3)) / 8
        # Two kept: P = (4, 4) / 8, Q = (4, 2) / 6.
        two_kept = 0.5 * math.log(0.5 / (4 / 6)) + 0.5 * math.log(0.5 / (2 / 6))
        # Three kept: levels {0, 1} and {2}; P = (4, 2, 2) / 8, Q = (3, 3, 1) / 7.
        three_kept = 0.5 * math.log(0.5 * 7 / 3) + 0.25 * math.log(0.25 * 7 / 3) + 0.25 * math.log(0.25 * 7)
        assert _divergences(counts, 2) == pytest.approx([two_kept, three_kept, all_kept], abs=1e-12)
        assert entropy_index(counts, 2, first_bin="as_counted") == 4

    def test_empty_last_bin_with_counts_beyond_is_infinite(self):
        assert _divergences(np.array([5, 0, 0, 1], np.int64), 2).tolist()[:2] == [math.inf, math.inf]

    def test_the_largest_of_equal_candidates_wins(self):
        assert entropy_index(np.array([7, 0, 0, 0, 0], np.int64), 2) == 5

    def test_first_bin_takes_the_count_of_the_second(self):
        crowd = np.array([10**6, 40, 20, 10, 5, 3, 2, 1], np.int64)
        replaced = np.array([40, 40, 20, 10, 5, 3, 2, 1], np.int64)
        assert entropy_index(crowd, 4) == entropy_index(replaced, 4, first_bin="as_counted") == 6
        assert entropy_index(crowd, 4, first_bin="as_counted") == 4
        assert crowd[0] == 10**6

    def test_threshold_is_half_a_bin_above_the_edge(self):
        # One magnitude fills the last bin of the view, so all 2048 bins are kept.
        assert entropy_amax(observed([3.0, -3.0])) == pytest.approx(3.0 * 2048.5 / 2048)

    def test_refusals(self):
        with pytest.raises(ConfigError, match="num_levels must be 1 to the number of bins, 4, got 5"):
            entropy_index(np.ones(4, np.int64), 5)
        with pytest.raises(CalibrationError, match="a histogram without counts"):
            entropy_index(np.zeros(4, np.int64), 2)
        with pytest.raises(ConfigError, match="first_bin must be 'as_second' or 'as_counted', got 'zero'"):
            entropy_index(np.ones(4, np.int64), 2, first_bin="zero")


class TestEntropyAgainstTheDefinition:
    def test_thousand_histograms_of_many_kinds(self):
        rng = np.random.default_rng(20240117)
        different = []
        for trial in range(1000):
            # The definition takes time by the square of the bins: a quarter are as long as real ones.
            counts = random_counts(rng, 2048 if trial % 4 == 0 else 512)
            want = reference_entropy.index(reference_entropy.first_as_second(counts), 128)
            if entropy_index(counts) != want:
                different.append((trial, want))
        assert different == []

    def test_other_sizes_and_the_first_bin_as_counted(self):
        rng = np.random.default_rng(8)
        different = []
        for trial in range(500):
            num_bins = int(rng.integers(16, 400))
            num_levels = int(rng.choice([8, 16]))
            counts = random_counts(rng, num_bins)
            want = reference_entropy.index(counts, num_levels)
            if entropy_index(counts, num_levels, first_bin="as_counted") != want:
                different.append((trial, want))
        assert different == []

    def test_compiled_reference_is_the_python_one(self):
        counts = random_counts(np.random.default_rng(3), 60)
        for num_kept in range(8, 61):
            plain = reference_entropy.divergence.py_func(counts, num_kept, 8)
            assert plain == pytest.approx(reference_entropy.divergence(counts, num_kept, 8), abs=1e-12)

    def test_counts_of_long_audio_do_not_overflow(self):
        counts = random_counts(np.random.default_rng(5), 2048) * 10**9
        assert entropy_index(counts, first_bin="as_counted") == reference_entropy.index(counts, 128)


class TestPercentile:
    def test_edges_by_hand(self):
        # Range 2**3, bins of 8 / 4096; 1 .. 4 open the bins 512, 1024, 1536 and 2048.
        histogram = observed([1.0, 2.0, 3.0, 4.0])
        width = 8 / 4096
        assert percentile_amax(histogram, 25) == 1.0 + width
        assert percentile_amax(histogram, 25.001) == 2.0 + width
        assert percentile_amax(histogram, 75) == 3.0 + width
        assert percentile_amax(histogram, 100) == 4.0

    def test_decimal_percentiles_are_exact(self):
        values = np.ones(10_000)
        values[0] = 7.0
        assert percentile_amax(observed(values), 99.99) == 1.0 + 8 / 4096
        assert percentile_amax(observed(values), 99.991) == 7.0

    def test_zeros_count_but_never_make_the_range_zero(self):
        assert percentile_amax(observed([0.0] * 6 + [1.0, 5.0]), 80) == 1.0 + 8 / 4096
        assert percentile_amax(observed([0.0] * 99 + [5.0]), 50) == 5.0

    def test_out_of_range(self):
        with pytest.raises(ConfigError, match="percentile must lie above 0 and up to 100, got 0"):
            percentile_amax(observed([1.0]), 0)


class TestMse:
    def test_equals_a_search_by_quantizing_the_bin_centres(self):
        rng = np.random.default_rng(4)
        histogram = observed(rng.standard_t(3, size=20_000))
        counts, width = histogram.view()
        centres = (np.arange(2048) + 0.5) * width
        kept = np.arange(128, 2049)
        errors = []
        for amax in kept * width:
            levels = np.minimum(np.floor(centres * 127 / amax + 0.5), 127)
            errors.append(float(counts @ (centres - levels * amax / 127) ** 2))
        assert mse_amax(histogram) == pytest.approx(kept[np.argmin(errors)] * width, rel=1e-12)

    def test_one_large_outlier_is_worth_keeping_or_not(self):
        many = observed(np.append(np.linspace(0.01, 1, 100_000), 4.0))
        few = observed(np.append(np.linspace(0.01, 1, 100), 4.0))
        # Clipping 4 to a costs (4 - a)**2; keeping it costs (4 / 127)**2 / 12 for each of the others.
        assert mse_amax(few) == pytest.approx(4.0, rel=0.02)
        assert mse_amax(many) < 3.95


class TestEveryMethod:
    METHODS = (entropy_amax, percentile_amax, mse_amax, max_amax)

    @pytest.mark.parametrize("method", METHODS)
    def test_nothing_observed(self, method):
        with pytest.raises(CalibrationError, match="no finite values were observed"):
            method(Histogram())

    @pytest.mark.parametrize("method", METHODS)
    def test_only_zeros(self, method):
        assert method(observed([0.0, -0.0])) == 0.0

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("factor", [2.0**-20, 2.0**9])
    def test_scaling_by_a_power_of_two_scales_the_threshold(self, method, factor):
        values = np.random.default_rng(6).laplace(size=5000)
        assert method(observed(values * factor)) == method(observed(values)) * factor

    def test_max(self):
        assert max_amax(observed([0.5, -2.25, 1.0])) == 2.25

    def test_five_hundred_histograms_take_less_than_five_seconds(self):
        # What is promised; benchmarks/bench_thresholds.py measures what it is.
        seconds = measure(five_hundred())["cpu_s"]
        assert sorted(seconds) == ["entropy", "max", "mse", "percentile"]
        assert sum(seconds.values()) < 5.0
