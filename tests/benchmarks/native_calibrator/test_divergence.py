import math

import numpy as np
import pytest

from benchmarks.native_calibrator.divergence import divergence
from tests.benchmarks.native_calibrator.cases import counted, laplace
from tests.calibration import reference_entropy
from trtforge.calibration import entropy_index


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
