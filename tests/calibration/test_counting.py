from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from trtforge.calibration import Observer
from trtforge.calibration.counting import BatchCounts
from trtforge.calibration.padding import Part
from trtforge.errors import CalibrationError


def counted(activations):
    counts = BatchCounts()
    with ThreadPoolExecutor(2) as executor:
        counts.add(executor, activations)
    return counts


def test_large_tensors_are_shared_out_in_chunks_and_counted_whole():
    values = np.random.default_rng(0).standard_normal((3, 1_500_000), np.float32)
    values[2, -1] = np.inf
    counts = counted({"x": [Part(0, values[:2]), Part(1, values[2:])]})
    observer = Observer()
    observer.observe(values)
    assert counts.histograms["x"] == observer.histogram()
    assert counts.nonfinite == {"x": [(1, 1, 1_500_000)]}


def test_faults_name_the_first_tensor_asked_for():
    bad = Part(1, np.float32([np.nan, 1]))
    counts = counted({"b": [bad], "a": [bad, Part(None, np.float32([np.inf]))]})
    assert counts.faults(["a", "b"], ["clip-0", "clip-1"]) == {
        "clip-1": "1 of 2 values of tensor 'a' are not finite",
        "clip-0": "1 of 1 values of tensor 'a' are not finite",
    }
    assert counts.faults(["b", "a"], ["clip-0", "clip-1"], inputs={"a"}) == {
        "clip-1": "the feed itself holds NaN or infinity: 1 of 2 values of input 'a' are not finite",
        "clip-0": "the feed itself holds NaN or infinity: 1 of 1 values of input 'a' are not finite",
    }
    assert counts.faults(["b"], ["clip-0", "clip-1"]).keys() == {"clip-1"}


def test_integers_are_refused_by_name():
    with pytest.raises(CalibrationError, match=r"tensor 'ids' cannot be observed: .* got int64"):
        counted({"ids": [Part(0, np.arange(4))]})
