"""Hold every scale of TensorRT's own calibrator against ours, and test why one differs."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.native_calibrator import bins
from benchmarks.native_calibrator.bins import NUM_BINS, RULES, Bins
from benchmarks.native_calibrator.divergence import excess_divergence
from benchmarks.native_calibrator.evidence import Evidence
from trtforge.calibration import FLOOR_AMAX, entropy_amax
from trtforge.scales import INT8_MAX

# One bin; the cache rounds scales to float32, hence the margin.
WITHIN_BINS = 1.001
# A divergence this much above the least, as a share of it, counts as flat.
FLAT = 0.05
# Our own rule, beside those over TensorRT's bins.
OURS = "ours"
MEANINGS = {
    OURS: "trtforge: bins from the largest magnitude of all, whatever the order",
    **{rule: f"TensorRT's bins; {meaning}" for rule, meaning in RULES.items()},
}

EXPLANATIONS = {
    "bins": "over TensorRT's bins, which follow the order of the batches, our search gives its threshold",
    "tf32": "without TF32, TensorRT chooses the same: its FP32 convolutions round inputs to 10 bits",
    "scale_of_other": "TensorRT gave it the scale of a tensor on the other side of an operator that keeps "
    "values or is fused",
    "flat": "the divergence is flat: at TensorRT's threshold it is at most 5 % above the least",
}


@dataclass(frozen=True)
class Comparison:
    """One network's scales, TensorRT's against ours.

    Parameters
    ----------
    tensors : one row for each entry of TensorRT's cache that stands for an activation we observed.
    rules : for each of `MEANINGS`, how many of them it gives to a hundredth of a bin; without counts over
        TensorRT's bins, only `OURS`.
    not_compared : names of other entries: constants, and what has no counts of ours.
    """

    tensors: tuple[dict[str, Any], ...]
    rules: tuple[dict[str, Any], ...]
    not_compared: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """Count entries: compared, within one bin, equal over TensorRT's bins, explained; and sum up ratios.

        The first counts are made for the network's own names too.
        """
        named = [row for row in self.tensors if row["tensor"] == row["own"]]
        far = [row for row in self.tensors if not row["within"]]
        tested = [row for row in self.tensors if row["within_without_tf32"] is not None]
        counted = [row for row in self.tensors if row["equal_over_bins"] is not None]
        return {
            "num_compared": len(self.tensors),
            "num_within": len(self.tensors) - len(far),
            "num_over_bins": len(counted),
            "num_equal_over_bins": sum(row["equal_over_bins"] for row in counted),
            "num_explained": sum(row["explanation"] is not None for row in far),
            "ratios": _spread([row["ratio"] for row in self.tensors if row["ratio"] > 0]),
            "num_named": len(named),
            "num_named_within": sum(row["within"] for row in named),
            "num_within_without_tf32": sum(row["within_without_tf32"] for row in tested) if tested else None,
            "num_not_compared": len(self.not_compared),
            "not_compared": [name for name in self.not_compared if "[Constant]" not in name],
        }


def compare(evidence: Evidence) -> Comparison:
    """Compare two calibrations of one network.

    A scale agrees where its threshold lies within one bin of ours; a bin is the largest magnitude over 2048.
    One that does not is held against every explanation of `EXPLANATIONS`; the first that fits is named,
    and all that fit are listed.

    Parameters
    ----------
    evidence : caches and counts.
    """
    thresholds = _choose_all(evidence)
    pairs = {
        name: own
        for name in evidence.native.scales
        if (own := evidence.names.get(name, name)) in evidence.total.tensors
    }
    rows = tuple(_row(name, own, evidence, thresholds) for name, own in pairs.items())
    rules = tuple(
        _agreement(rule, rows, thresholds) for rule in MEANINGS if rule == OURS or evidence.bins is not None
    )
    rest = tuple(name for name in evidence.native.scales if name not in pairs)
    return Comparison(rows, rules, rest)


def bins_off(native: float, ours: float, bin_width: float) -> float:
    """Return the distance of two thresholds in bins.

    A tensor of zeros has bins of no width; any two thresholds that are its floor or less agree.
    """
    if bin_width == 0:
        return 0.0 if max(native, ours) <= FLOOR_AMAX else math.inf
    return abs(native - ours) / bin_width


@dataclass(frozen=True)
class _Threshold:
    amax: float
    bin_width: float

    def bins_off(self, native: float) -> float:
        return bins_off(native, self.amax, self.bin_width)


# Tensor to rule to its threshold.
_Thresholds = Mapping[str, Mapping[str, _Threshold]]


def _choose_all(evidence: Evidence) -> _Thresholds:
    def choose_one(name: str) -> dict[str, _Threshold]:
        total = evidence.total.tensors[name]
        ours = max(entropy_amax(total), FLOOR_AMAX)
        found = {OURS: _Threshold(ours, total.observed_max / NUM_BINS)}
        if evidence.bins is not None and name in evidence.bins:
            counted = evidence.bins[name]
            found |= {rule: _Threshold(counted.amax(rule), counted.bin_width) for rule in RULES}
        return found

    names = list(evidence.total.tensors)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as executor:
        return dict(zip(names, executor.map(choose_one, names), strict=True))


def _row(name: str, own: str, evidence: Evidence, thresholds: _Thresholds) -> dict[str, Any]:
    native = evidence.native.scales[name] * INT8_MAX
    histogram = evidence.total.tensors[own]
    ours, over_bins = thresholds[own][OURS], thresholds[own].get("as_second")
    off = ours.bins_off(native)
    other = evidence.without_tf32.scales.get(name) if evidence.without_tf32 is not None else None
    without = None if other is None else ours.bins_off(other * INT8_MAX) <= WITHIN_BINS
    within = off <= WITHIN_BINS
    equal = None if over_bins is None else over_bins.bins_off(native) <= bins.MAX_BINS_OFF
    excess = None if within else excess_divergence(native, *histogram.view())
    counted = evidence.bins.get(own) if evidence.bins is not None else None
    over_its = None if within or counted is None else _excess_over(counted, native)
    matches: list[dict[str, Any]] = []
    if not within:
        matches += [{"kind": "bins"}] if equal else []
        matches += [{"kind": "tf32"}] if without else []
        matches += [
            {"kind": "scale_of_other", "tensor": tensor}
            for tensor in evidence.sharing.get(own, ())
            if _is_scale_of(native, thresholds.get(tensor, {}))
        ][:1]
        least = min((each for each in (excess, over_its) if each is not None), default=math.inf)
        matches += [{"kind": "flat"}] if least <= FLAT else []
    return {
        "tensor": name,
        "own": own,
        "native_amax": native,
        "our_amax": ours.amax,
        "observed_max": histogram.observed_max,
        "ratio": round(native / ours.amax, 5),
        "bins_off": round(off, 3) if math.isfinite(off) else None,
        "within": within,
        "amax_over_bins": None if over_bins is None else over_bins.amax,
        "bins_off_over_bins": None if over_bins is None else round(over_bins.bins_off(native), 5),
        "bin_width_over_bins": None if over_bins is None else over_bins.bin_width,
        "first_max": evidence.first.tensors[own].observed_max,
        "num_zeros": histogram.num_zeros,
        "equal_over_bins": equal,
        "within_without_tf32": without,
        "excess_divergence": excess,
        "excess_divergence_over_bins": over_its,
        "explanation": matches[0]["kind"] if matches else None,
        "matches": matches,
    }


def _excess_over(counted: Bins, native: float) -> float | None:
    return excess_divergence(native, counted.counts, counted.bin_width)


def _is_scale_of(native: float, other: Mapping[str, _Threshold]) -> bool:
    # That TensorRT gave both one scale proves nothing where both hold the same values; our threshold for the
    # other one must be TensorRT's.
    limits = {OURS: WITHIN_BINS, "as_second": bins.MAX_BINS_OFF}
    return any(rule in other and other[rule].bins_off(native) <= most for rule, most in limits.items())


def _agreement(rule: str, rows: Sequence[Mapping[str, Any]], thresholds: _Thresholds) -> dict[str, Any]:
    found = [(row["native_amax"], thresholds[row["own"]].get(rule)) for row in rows]
    equal = sum(
        threshold is not None and threshold.bins_off(native) <= bins.MAX_BINS_OFF
        for native, threshold in found
    )
    return {"rule": rule, "num_compared": len(rows), "num_equal": equal}


def _spread(ratios: Sequence[float]) -> dict[str, float] | None:
    # A factor is a ratio with the larger of both on top.
    if not ratios:
        return None
    return {
        "least": min(ratios),
        "median": round(median(ratios), 5),
        "largest": max(ratios),
        "median_factor": round(median(max(ratio, 1 / ratio) for ratio in ratios), 5),
    }
