import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtforge.calibration import Histogram, Observer
from trtforge.errors import CalibrationError, ConfigError


def observed(values):
    observer = Observer()
    observer.observe(np.asarray(values, np.float64))
    return observer.histogram()


class TestView:
    def test_bins_reach_the_maximum(self):
        histogram = observed([3.0, 1.0])
        counts, width = histogram.view()
        assert width == 3.0 / 2048
        assert np.flatnonzero(counts).tolist() == [682, 2047]

    def test_source_bins_are_spread_evenly(self):
        # On the range 2 with the maximum 1.5, a view bin is 1.5 source bins: view bin 683 begins in the
        # middle of source bin 1024, where 0.5 lies, and view bin 684 where source bin 1026 does.
        counts, _ = observed([0.5] * 20 + [1025.5 / 2048] * 4 + [1.5]).view()
        assert {int(i): int(counts[i]) for i in np.flatnonzero(counts)} == {682: 10, 683: 14, 2047: 1}

    @settings(deadline=None)
    @given(
        st.lists(st.floats(-1e4, 1e4).filter(lambda v: v == 0 or abs(v) > 1e-290), min_size=1, max_size=80),
        st.integers(1, 2048),
    )
    def test_keeps_the_total_and_the_last_bin(self, values, num_bins):
        histogram = observed(values)
        counts, width = histogram.view(num_bins)
        assert counts.min() >= 0
        assert counts.sum() == histogram.counts.sum()
        assert width * num_bins == pytest.approx(histogram.observed_max)
        if histogram.observed_max > 0:
            assert counts[-1] > 0

    @settings(deadline=None)
    @given(st.lists(st.floats(2.0**-20, 2.0**20), min_size=1, max_size=80))
    def test_values_move_less_than_a_bin(self, values):
        histogram = observed(values)
        counts, _ = histogram.view()
        exact, _ = np.histogram(np.abs(values), bins=2048, range=(0, histogram.observed_max))
        # A source bin is no wider than a view bin, so the running totals agree one bin earlier or later.
        ours, theirs = np.cumsum(counts), np.cumsum(exact)
        assert (ours[1:] >= theirs[:-1]).all()
        assert (ours[:-1] <= theirs[1:]).all()

    def test_flat_density_stays_flat(self):
        counts, _ = observed(np.linspace(0, 1.37, 2_048_000 // 4)).view()
        assert abs(counts - 250).max() <= 2

    def test_too_fine(self):
        with pytest.raises(ConfigError, match="num_bins must be 1 to 2048, got 4096"):
            observed([1.0]).view(4096)


class TestShareAbove:
    def test_counts_beside_the_threshold(self):
        histogram = observed([0.0, 0.0, 1.0, 2.0, 3.0, 4.0])
        assert histogram.share_above(4.0) == 0.0
        assert histogram.share_above(2.5) == pytest.approx(2 / 6)
        assert histogram.share_above(0.5) == pytest.approx(4 / 6)
        assert histogram.share_above(0.0) == pytest.approx(4 / 6)

    def test_empty(self):
        assert Histogram().share_above(1.0) == 0.0


class TestValue:
    def test_counts_cannot_be_changed(self):
        with pytest.raises(ValueError, match="read-only"):
            observed([1.0]).counts[0] = 1

    def test_repr(self):
        assert repr(observed([0.0, 1.5])) == (
            "Histogram(num_values=2, num_zeros=1, num_nonfinite=0, observed_max=1.5, range=2**1)"
        )

    def test_memory_is_fixed(self):
        assert observed(np.random.default_rng(0).standard_normal(100_000)).counts.nbytes == 32 * 1024

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"counts": np.zeros(5, np.int64)}, r"4096 int64 counts, got int64 \[5\]"),
            ({"num_zeros": -1}, "no negative counts"),
            ({"observed_max": float("nan")}, "observed_max must be finite and not negative, got nan"),
            ({"exponent": 3}, r"belongs on the range 2\*\*1, got 2\*\*3"),
            ({"observed_max": 1.25}, "lies in bin 2560, but the last bin with a count is 3072"),
        ],
    )
    def test_contradictions_are_refused(self, change, message):
        sound = observed([1.5])
        fields = {"counts": sound.counts, "exponent": 1, "observed_max": 1.5} | change
        with pytest.raises(CalibrationError, match=message):
            Histogram(**fields)
