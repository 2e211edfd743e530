import math

import numpy as np
import pytest

from benchmarks.native_calibrator.compare import EXPLANATIONS, bins_off, compare
from benchmarks.native_calibrator.variants import OURS, VARIANTS, divergence, variant_amax
from tests.benchmarks.native_calibrator.cases import counted, evidence, laplace, own_amax
from trtforge.calibration import FLOOR_AMAX, entropy_index

A, B = laplace(1.0, 0), laplace(1.0, 1)
WIDE = laplace(3.0, 2)


def only(found):
    (row,) = found.tensors
    return row


def kinds(row):
    return [match["kind"] for match in row["matches"]]


def test_distance_is_in_bins_of_the_largest_magnitude():
    assert bins_off(1.5, 1.0, 2048.0) == 0.5
    assert bins_off(0.0, FLOOR_AMAX, 0.0) == 0.0
    assert bins_off(1.0, FLOOR_AMAX, 0.0) == math.inf


def test_our_own_threshold_agrees():
    found = compare(evidence({"x": own_amax(A, B)}, {"x": (A, B)}))
    row = only(found)
    assert (row["within"], row["explanation"], row["ratio"]) == (True, None, 1.0)
    assert row["bins_off"] == 0.0
    assert found.summary()["num_within"] == 1
    agreement = {each["variant"]: each["num_within"] for each in found.variants}
    assert agreement[OURS] == 1


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


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != OURS])
def test_each_rule_is_recognised_by_its_threshold(variant):
    # Half of the values are next to zero, and the second batch reaches further: every rule shows.
    first = np.concatenate([A, np.zeros(A.size), laplace(1e-4, 3)]).astype(np.float32)
    second = (2.7 * first).astype(np.float32)
    total = counted(np.concatenate([first, second]))
    amax = variant_amax(variant, counted(first), total)
    row = only(compare(evidence({"x": amax}, {"x": (first, second)})))
    assert row["within"] or variant in kinds(row)
    assert row["within"] or row["explanation"] is not None


def test_without_tf32_comes_first():
    amax = own_amax(A, B)
    row = only(compare(evidence({"x": 1.2 * amax}, {"x": (A, B)}, without_tf32={"x": amax})))
    assert (row["within"], row["within_without_tf32"], row["explanation"]) == (False, True, "tf32")


def test_a_slightly_larger_maximum_is_recognised():
    # Uniform values are not clipped, so that the threshold tells the maximum.
    values = np.linspace(1 / 4096, 1, 50_000).astype(np.float32)
    row = only(compare(evidence({"x": 1.003 * 2048.5 / 2048}, {"x": (values, values)})))
    assert row["bins_off"] == pytest.approx(6.1, abs=0.1)
    assert "other_maximum" in kinds(row)
    (match,) = (match for match in row["matches"] if match["kind"] == "other_maximum")
    assert match["relative_difference"] == pytest.approx(0.003, abs=1e-4)


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


def test_a_tensor_of_zeros_agrees_with_tensorrts_zero():
    zeros = np.zeros(10, np.float32)
    row = only(compare(evidence({"x": 0.0}, {"x": (zeros, zeros)})))
    assert row["within"]


def test_every_explanation_is_worded():
    assert set(VARIANTS) - {OURS} < set(EXPLANATIONS)
    assert {"tf32", "scale_of_other", "other_maximum", "flat"} < set(EXPLANATIONS)
