import math

import numpy as np
import pytest

from benchmarks.native_calibrator.variants import (
    MEANINGS,
    OURS,
    VARIANTS,
    amax_over,
    divergence,
    rebin,
    variant_amax,
)
from tests.benchmarks.native_calibrator.cases import counted, laplace
from tests.calibration import reference_entropy
from trtforge.calibration import FLOOR_AMAX, entropy_amax, entropy_index


def test_bins_of_the_largest_magnitude_are_the_view():
    histogram = counted(laplace(1.0, 0))
    counts, bin_width = histogram.view()
    again, beyond = rebin(histogram, bin_width, 2048)
    assert np.abs(again - counts).max() <= 1
    assert again.sum() + beyond == counts.sum()
    assert amax_over(histogram, bin_width) == entropy_amax(histogram)


def test_what_lies_beyond_the_bins_is_counted():
    histogram = counted(np.array([0.25, 0.5, 1.5, 3.0, 0.0]))
    counts, beyond = rebin(histogram, 1.0, 2)
    assert (counts.tolist(), beyond) == ([2, 1], 1)


def test_a_largest_magnitude_on_the_edge_of_a_bin_is_not_lost():
    histogram = counted(np.array([0.5, 1.0, 2.0]))
    counts, beyond = rebin(histogram, 1.0, 3)
    assert (counts.tolist(), beyond) == ([1, 1, 1], 0)


def test_the_divergence_is_least_where_the_search_says():
    counts, _ = counted(laplace(1.0, 1)).view()
    kept = entropy_index(counts)
    least = divergence(counts, kept)
    assert 0 < least < 0.1
    assert all(divergence(counts, other) >= least - 1e-9 for other in range(128, 2049, 17))


@pytest.mark.parametrize("kept", [128, 700, 2048])
def test_the_divergence_is_the_references(kept):
    counts, _ = counted(laplace(1.0, 6)).view()
    seen = np.concatenate((counts[1:2], counts[1:]))
    assert divergence(counts, kept) == pytest.approx(reference_entropy.divergence(seen, kept, 128), abs=1e-12)


def test_a_divergence_is_what_it_is_by_hand():
    # The first bin takes the second's count: P = (2, 2, 1 + 3) / 8, Q = (2, 2, 1) / 5, one level each.
    counts = np.array([9, 2, 1, 3], np.int64)
    wanted = 0.25 * math.log(0.25 / 0.4) * 2 + 0.5 * math.log(0.5 / 0.2)
    assert divergence(counts, 3, num_levels=3) == pytest.approx(wanted)
    assert divergence(np.array([1, 1, 0, 3], np.int64), 3, num_levels=3) == math.inf


def test_every_rule_has_a_meaning_and_ours_is_the_librarys():
    assert list(MEANINGS) == list(VARIANTS)
    histogram = counted(laplace(1.0, 2))
    assert variant_amax(OURS, histogram, histogram) == entropy_amax(histogram)


def test_one_batch_leaves_rules_of_the_range_without_effect():
    histogram = counted(laplace(1.0, 3))
    for variant in (name for name in VARIANTS if name.startswith(("first", "range"))):
        assert variant_amax(variant, histogram, histogram) == pytest.approx(entropy_amax(histogram))


def test_rules_of_the_range_by_hand():
    # Uniform values: nothing is worth clipping, so that each range is taken whole.
    values = np.linspace(1 / 4096, 1, 100_000)
    first, total = counted(values), counted(np.concatenate([values, 3 * values]))
    whole = 2048.5 / 2048
    assert variant_amax("first_batch", first, total) == pytest.approx(whole, rel=1e-3)
    assert variant_amax("range_of_first_clamped", first, total) == pytest.approx(whole, rel=1e-3)
    assert variant_amax("range_of_first_doubled", first, total) <= 4 * whole
    assert variant_amax("range_of_first_doubled", first, total) > 2
    assert variant_amax("range_of_first_grown", first, total) == pytest.approx(3, rel=0.02)


def test_zeros_count_in_the_first_bin_only_where_the_rule_says_so():
    values = np.abs(laplace(1.0, 4))
    bare, padded = counted(values), counted(np.concatenate([values, np.zeros(10 * values.size)]))
    assert variant_amax("as_counted", padded, padded) == variant_amax("as_counted", bare, bare)
    counts, bin_width = padded.view()
    counts = counts.copy()
    counts[0] += 10 * values.size
    wanted = (entropy_index(counts, first_bin="as_counted") + 0.5) * bin_width
    assert variant_amax("with_zeros", padded, padded) == pytest.approx(wanted)


def test_a_tensor_of_zeros_gets_the_floor_and_one_that_starts_as_zeros_no_range():
    zeros, values = counted(np.zeros(10)), counted(laplace(1.0, 5))
    assert {variant_amax(variant, zeros, zeros) for variant in VARIANTS} == {FLOOR_AMAX}
    assert variant_amax("range_of_first_clamped", zeros, values) is None
    assert variant_amax("range_of_first_grown", zeros, values) is None
