"""Hold every scale of TensorRT's own calibrator against ours, and test why one differs."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from benchmarks.native_calibrator.evidence import Evidence
from benchmarks.native_calibrator.variants import (
    NUM_LEVELS,
    OURS,
    VARIANTS,
    VIEW_BINS,
    amax_over,
    divergence,
    variant_amax,
)
from trtforge.calibration import FLOOR_AMAX, Histogram, entropy_index
from trtforge.scales import INT8_MAX

# One bin; the cache rounds scales to float32, hence the margin.
MAX_BINS_OFF = 1.001
# A divergence this much above the least, as a share of it, counts as flat.
FLAT = 0.05
# Another maximum than ours is believed up to this relative difference.
_MAXIMUM_STEPS = (0.0005, 0.001, 0.002, 0.003, 0.005)

EXPLANATIONS = {
    "tf32": "without TF32, TensorRT chooses the same: its FP32 convolutions round inputs to 10 bits",
    "scale_of_other": "TensorRT gave it the scale of a tensor on the other side of an operator that keeps "
    "values or is fused",
    **{name: f"the rule `{name}` gives this threshold" for name in VARIANTS if name != OURS},
    "other_maximum": "the largest value differed slightly in TensorRT's own arithmetic, which moves the bins",
    "flat": "the divergence is flat: at TensorRT's threshold it is at most 5 % above the least",
}


@dataclass(frozen=True)
class Comparison:
    """One network's scales, TensorRT's against ours.

    Parameters
    ----------
    tensors : one row for each entry of TensorRT's cache that stands for an activation we observed.
    variants : for each rule, how many of them it hits within one bin.
    not_compared : names of other entries: constants, and what has no counts of ours.
    """

    tensors: tuple[dict[str, Any], ...]
    variants: tuple[dict[str, Any], ...]
    not_compared: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """Count entries: compared, within one bin, explained; and the same for the network's own names."""
        named = [row for row in self.tensors if row["tensor"] == row["own"]]
        far = [row for row in self.tensors if not row["within"]]
        tested = [row for row in self.tensors if row["within_without_tf32"] is not None]
        return {
            "num_compared": len(self.tensors),
            "num_within": len(self.tensors) - len(far),
            "num_explained": sum(row["explanation"] is not None for row in far),
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
    chosen = _choose_all(evidence)
    pairs = {
        name: own
        for name in evidence.native.scales
        if (own := evidence.names.get(name, name)) in evidence.total.tensors
    }
    rows = tuple(_row(name, own, evidence, chosen) for name, own in pairs.items())
    variants = tuple(_agreement(variant, rows, evidence, chosen) for variant in VARIANTS)
    rest = tuple(name for name in evidence.native.scales if name not in pairs)
    return Comparison(rows, variants, rest)


def bins_off(native: float, ours: float, observed_max: float) -> float:
    """Return the distance of two thresholds in bins of ``observed_max / 2048``.

    A tensor of zeros has no bins; any two thresholds that are its floor or less agree.
    """
    if observed_max == 0:
        return 0.0 if max(native, ours) <= FLOOR_AMAX else math.inf
    return abs(native - ours) / (observed_max / VIEW_BINS)


_Chosen = Mapping[str, Mapping[str, "float | None"]]


def _choose_all(evidence: Evidence) -> _Chosen:
    def choose_one(name: str) -> dict[str, float | None]:
        first, total = evidence.first.tensors[name], evidence.total.tensors[name]
        return {variant: variant_amax(variant, first, total) for variant in VARIANTS}

    names = list(evidence.total.tensors)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as executor:
        return dict(zip(names, executor.map(choose_one, names), strict=True))


def _row(name: str, own: str, evidence: Evidence, chosen: _Chosen) -> dict[str, Any]:
    native = evidence.native.scales[name] * INT8_MAX
    histogram = evidence.total.tensors[own]
    ours = chosen[own][OURS]
    assert ours is not None  # noqa: S101 - our own rule always applies
    off = bins_off(native, ours, histogram.observed_max)
    other = evidence.without_tf32.scales.get(name) if evidence.without_tf32 is not None else None
    without = None if other is None else bins_off(other * INT8_MAX, ours, histogram.observed_max)
    within = off <= MAX_BINS_OFF
    matches = [] if within else _matches(own, native, evidence, chosen, without)
    excess = None if within else _excess(native, histogram)
    if excess is not None and excess <= FLAT:
        matches.append({"kind": "flat"})
    return {
        "tensor": name,
        "own": own,
        "native_amax": native,
        "our_amax": ours,
        "observed_max": histogram.observed_max,
        "ratio": round(native / ours, 5),
        "bins_off": round(off, 3) if math.isfinite(off) else None,
        "within": within,
        "within_without_tf32": None if without is None else without <= MAX_BINS_OFF,
        "excess_divergence": excess,
        "explanation": matches[0]["kind"] if matches else None,
        "matches": matches,
    }


def _matches(
    own: str, native: float, evidence: Evidence, chosen: _Chosen, without_tf32: float | None
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    histogram = evidence.total.tensors[own]
    if without_tf32 is not None and without_tf32 <= MAX_BINS_OFF:
        found.append({"kind": "tf32"})
    found += [
        {"kind": "scale_of_other", "tensor": other}
        for other in evidence.sharing.get(own, ())
        if _has_scale_of(native, other, evidence, chosen)
    ][:1]
    for variant, amax in chosen[own].items():
        if amax is not None and bins_off(native, amax, histogram.observed_max) <= MAX_BINS_OFF:
            found.append({"kind": variant})
    if histogram.observed_max > 0:
        found += _other_maximum(native, histogram)
    return found


def _has_scale_of(native: float, other: str, evidence: Evidence, chosen: _Chosen) -> bool:
    # That TensorRT gave both one scale proves nothing where both hold the same values; our threshold for the
    # other one must be TensorRT's.
    ours = chosen[other][OURS] if other in chosen else None
    observed_max = evidence.total.tensors[other].observed_max if other in chosen else 0.0
    return ours is not None and bins_off(native, ours, observed_max) <= MAX_BINS_OFF


def _other_maximum(native: float, histogram: Histogram) -> list[dict[str, Any]]:
    steps = [sign * step for step in _MAXIMUM_STEPS for sign in (1, -1)]
    unclipped = native * VIEW_BINS / (VIEW_BINS + 0.5) / histogram.observed_max - 1
    if abs(unclipped) <= _MAXIMUM_STEPS[-1]:
        steps.insert(0, unclipped)
    for step in steps:
        bin_width = histogram.observed_max * (1 + step) / VIEW_BINS
        if abs(native - amax_over(histogram, bin_width)) / bin_width <= MAX_BINS_OFF:
            return [{"kind": "other_maximum", "relative_difference": round(step, 6)}]
    return []


def _excess(native: float, histogram: Histogram) -> float | None:
    """Return how far the divergence at a threshold is above the least, as a share of that.

    The neighbouring candidates count as well, for a bin is the margin. None where the threshold is no
    candidate, or the divergence of all three is infinite: each ends on an empty bin.
    """
    if histogram.observed_max == 0:
        return None
    counts, bin_width = histogram.view()
    kept = round(native / bin_width - 0.5)
    if not NUM_LEVELS <= kept <= VIEW_BINS:
        return None
    least = divergence(counts, entropy_index(counts, NUM_LEVELS))
    candidates = range(max(kept - 1, NUM_LEVELS), min(kept + 1, VIEW_BINS) + 1)
    found = min(divergence(counts, candidate) for candidate in candidates)
    return round(found / least - 1, 5) if least > 0 and math.isfinite(found) else None


def _agreement(
    variant: str, rows: Sequence[Mapping[str, Any]], evidence: Evidence, chosen: _Chosen
) -> dict[str, Any]:
    applied = [(row, amax) for row in rows if (amax := chosen[row["own"]][variant]) is not None]
    within = [
        bins_off(row["native_amax"], amax, row["observed_max"]) <= MAX_BINS_OFF for row, amax in applied
    ]
    return {"variant": variant, "num_compared": len(rows), "num_within": sum(within)}
