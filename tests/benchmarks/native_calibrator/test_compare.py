import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.native_calibrator.bins import Bins
from benchmarks.native_calibrator.compare import MEANINGS, OURS, bins_off, compare
from benchmarks.native_calibrator.divergence import divergence
from tests.benchmarks.native_calibrator.cases import binned, counted, evidence, laplace, own_amax
from trtforge.calibration import FLOOR_AMAX, entropy_index

A, B = laplace(1.0, 0), laplace(1.0, 1)
WIDE = laplace(3.0, 2)


def only(found):
    (row,) = found.tensors
    return row


def kinds(row):
    return [match["kind"] for match in row["matches"]]


def test_distance_is_in_bins():
    assert bins_off(1.5, 1.0, 1.0) == 0.5
    assert bins_off(0.0, FLOOR_AMAX, 0.0) == 0.0
    assert bins_off(1.0, FLOOR_AMAX, 0.0) == math.inf


def test_our_own_threshold_agrees():
    found = compare(evidence({"x": own_amax(A, B)}, {"x": (A, B)}))
    row = only(found)
    assert (row["within"], row["explanation"], row["ratio"]) == (True, None, 1.0)
    assert row["bins_off"] == 0.0
    assert found.summary()["num_within"] == 1
    assert found.rules == ({"rule": OURS, "num_compared": 1, "num_equal": 1},)
    assert (found.summary()["num_over_bins"], row["equal_over_bins"]) == (0, None)


def test_one_bin_is_within_and_two_are_not():
    amax, bin_width = own_amax(A, B), float(np.abs(np.concatenate([A, B])).max()) / 2048
    assert only(compare(evidence({"x": amax + bin_width}, {"x": (A, B)})))["within"]
    row = only(compare(evidence({"x": amax + 2 * bin_width}, {"x": (A, B)})))
    assert (row["within"], row["bins_off"]) == (False, pytest.approx(2, abs=1e-3))


def test_entries_of_constants_and_unknown_tensors_are_not_compared():
    amax = own_amax(A, B)
    native = {"x": amax, "(Unnamed Layer* 1) [Constant]_output": 3.0, "y": 1.0}
    found = compare(evidence(native, {"x": (A, B)}))
    summary = found.summary()
    assert (summary["num_compared"], summary["num_not_compared"]) == (1, 2)
    assert summary["not_compared"] == ["y"]


def test_entries_of_the_parsers_making_are_held_against_the_tensor_they_stand_for():
    shuffle = "(Unnamed Layer* 5) [Shuffle]_output"
    native = {"x": own_amax(A, B), shuffle: 0.1}
    found = compare(evidence(native, {"x": (A, B)}, names={"x": "x", shuffle: "x"}))
    summary = found.summary()
    assert (summary["num_compared"], summary["num_within"]) == (2, 1)
    assert (summary["num_named"], summary["num_named_within"]) == (1, 1)


def test_the_scale_of_another_tensor_is_recognised():
    values = {"conv": (A, B), "relu": (WIDE, WIDE)}
    amax = own_amax(WIDE, WIDE)
    sharing = {"conv": ("relu",), "relu": ("conv",)}
    found = compare(evidence({"conv": amax, "relu": amax}, values, sharing=sharing))
    conv, relu = found.tensors
    assert relu["within"]
    assert conv["explanation"] == "scale_of_other"
    assert conv["matches"][0]["tensor"] == "relu"


def test_one_wrong_scale_for_the_same_values_explains_nothing():
    sharing = {"x": ("y",), "y": ("x",)}
    found = compare(evidence({"x": 0.01, "y": 0.01}, {"x": (A, B), "y": (A, B)}, sharing=sharing))
    assert [row["explanation"] for row in found.tensors] == [None, None]
    assert found.summary()["num_explained"] == 0


def test_the_threshold_over_tensorrts_bins_is_recognised():
    # The second batch reaches 2.5 times as far: TensorRT's range is four times that of the first.
    parts = A, WIDE
    native = binned(*parts).amax("as_second")
    found = compare(evidence({"x": native}, {"x": parts}, with_bins=True))
    row = only(found)
    assert (row["within"], row["equal_over_bins"], row["explanation"]) == (False, True, "bins")
    assert (row["amax_over_bins"], row["bins_off"]) == (native, pytest.approx(30.7, abs=0.1))
    summary = found.summary()
    assert (summary["num_within"], summary["num_over_bins"], summary["num_equal_over_bins"]) == (0, 1, 1)
    assert {each["rule"]: each["num_equal"] for each in found.rules} == {
        "ours": 0, "as_second": 1, "as_counted": 1, "with_zeros": 1,
    }  # fmt: skip
    assert list(MEANINGS) == [each["rule"] for each in found.rules]


def test_a_bin_is_too_far_to_be_equal():
    bins = binned(A, B)
    native = {"x": bins.amax("as_second") + 0.02 * bins.bin_width}
    assert not only(compare(evidence(native, {"x": (A, B)}, with_bins=True)))["equal_over_bins"]


def test_the_scale_of_another_tensor_over_tensorrts_bins_is_recognised():
    wide = WIDE, (2.7 * WIDE).astype(np.float32)
    native = {"conv": binned(*wide).amax("as_second")}
    sharing = {"conv": ("relu",), "relu": ("conv",)}
    found = compare(evidence(native, {"conv": (A, B), "relu": wide}, sharing=sharing, with_bins=True))
    assert kinds(only(found))[0] == "scale_of_other"


def test_ratios_are_summed_up():
    amax = own_amax(A, B)
    names = {"x": 0.5 * amax, "y": amax, "z": 1.25 * amax}
    found = compare(evidence(names, dict.fromkeys(names, (A, B))))
    assert found.summary()["ratios"] == {
        "least": 0.5, "median": 1.0, "largest": 1.25, "median_factor": 1.25
    }  # fmt: skip


def test_without_tf32_comes_first():
    amax = own_amax(A, B)
    row = only(compare(evidence({"x": 1.2 * amax}, {"x": (A, B)}, without_tf32={"x": amax})))
    assert (row["within"], row["within_without_tf32"], row["explanation"]) == (False, True, "tf32")


def test_a_threshold_far_off_is_left_unexplained():
    row = only(compare(evidence({"x": 0.3 * own_amax(A, B)}, {"x": (A, B)})))
    assert (row["within"], row["explanation"], row["matches"]) == (False, None, [])


def test_the_divergence_says_how_much_a_threshold_costs():
    counts, bin_width = counted(np.concatenate([A, B])).view()
    best = entropy_index(counts)
    others = [kept for kept in range(130, 2047) if abs(kept - best) > 3]
    near, far = min(others, key=lambda kept: divergence(counts, kept)), best // 2
    for kept in (near, far):
        row = only(compare(evidence({"x": (kept + 0.5) * bin_width}, {"x": (A, B)})))
        least = divergence(counts, best)
        found = min(divergence(counts, other) for other in (kept - 1, kept, kept + 1))
        assert row["excess_divergence"] == pytest.approx(found / least - 1, abs=1e-4)
        assert ("flat" in kinds(row)) == (found / least - 1 <= 0.05)
    assert row["excess_divergence"] > 0.05
    assert only(compare(evidence({"x": own_amax(A, B)}, {"x": (A, B)})))["excess_divergence"] is None


def test_a_threshold_where_tensorrts_bins_are_flat_is_explained():
    values = np.concatenate([A, B])
    counts, bin_width = counted(values).view()
    best = entropy_index(counts)
    near = min(
        (kept for kept in range(130, 2047) if abs(kept - best) > 3), key=lambda kept: divergence(counts, kept)
    )
    held = evidence({"x": (near + 0.5) * bin_width}, {"x": (A, B)})
    row = only(compare(replace(held, bins={"x": Bins(bin_width, counts, 0)})))
    assert row["excess_divergence_over_bins"] == row["excess_divergence"]
    assert row["equal_over_bins"] is False
    assert only(compare(held))["excess_divergence_over_bins"] is None


def test_a_tensor_of_zeros_agrees_with_tensorrts_zero():
    zeros = np.zeros(10, np.float32)
    row = only(compare(evidence({"x": 0.0}, {"x": (zeros, zeros)})))
    assert row["within"]
