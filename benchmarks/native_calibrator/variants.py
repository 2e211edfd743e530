"""Entropy thresholds under other rules than ours, to find out which one TensorRT follows.

Each variant is a pure function of two histograms of a tensor: that of the first batch, and that of all.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trtforge.calibration import FLOOR_AMAX, NUM_BINS, Histogram, entropy_amax, entropy_index

Counts = NDArray[np.int64]
Variant = Callable[[Histogram, Histogram], "float | None"]

VIEW_BINS, NUM_LEVELS = 2048, 128
# A range that grew further than this would take seconds to search, and no calibrator would keep so many bins.
_MAX_GROWTH = 4

OURS = "as_second"


def variant_amax(variant: str, first: Histogram, total: Histogram) -> float | None:
    """Choose a threshold by one of `VARIANTS`, in activation units; None where it does not apply."""
    if total.observed_max == 0:
        return FLOOR_AMAX
    amax = VARIANTS[variant](first, total)
    return None if amax is None else max(amax, FLOOR_AMAX)


def rebin(histogram: Histogram, bin_width: float, num_bins: int) -> tuple[Counts, int]:
    """Count over bins of another width, values taken as evenly spread within a bin.

    Parameters
    ----------
    histogram : counts of |x|.
    bin_width : in activation units.
    num_bins : how many bins.

    Returns
    -------
    counts : int64 [num_bins].
    beyond : number of values above the last bin.
    """
    positions = np.arange(NUM_BINS + 1, dtype=np.float64)
    # The last bin with a count is filled only up to the largest magnitude.
    top = histogram.observed_max / histogram.bin_width
    positions[int(top) + 1] = max(top, math.nextafter(int(top), math.inf))
    running = np.concatenate(([0], np.cumsum(histogram.counts))).astype(np.float64)
    edges = np.arange(num_bins + 1) * (bin_width / histogram.bin_width)
    totals = np.floor(np.interp(edges, positions, running) + 0.5).astype(np.int64)
    return np.diff(totals), int(histogram.counts.sum() - totals[-1])


def amax_over(
    histogram: Histogram, bin_width: float, num_bins: int = VIEW_BINS, *, keep_beyond: bool = True
) -> float:
    """Choose the entropy threshold over bins of a given width.

    Parameters
    ----------
    histogram : counts of |x|.
    bin_width : in activation units.
    num_bins : how many bins.
    keep_beyond : count values above the last bin in it; otherwise they are lost.
    """
    counts, beyond = rebin(histogram, bin_width, num_bins)
    if keep_beyond:
        counts[-1] += beyond
    return (entropy_index(counts, NUM_LEVELS) + 0.5) * bin_width


def divergence(counts: Counts, kept: int, num_levels: int = NUM_LEVELS) -> float:
    """Return the Kullback-Leibler divergence of one candidate, in nats, straight from its definition.

    Parameters
    ----------
    counts : of |x|, int64 [num_bins].
    kept : number of bins that are kept, from ``num_levels`` to ``num_bins``.

    References
    ----------
    S. Migacz, "8-bit Inference with TensorRT", GTC 2017.
    """
    counts = np.concatenate((counts[1:2], counts[1:])) if counts[1:].any() else counts
    own = counts[:kept].astype(np.float64)
    levels = np.arange(kept) * num_levels // kept
    mass = np.bincount(levels, own, num_levels)
    occupied = np.bincount(levels, own > 0, num_levels)
    q = np.where(own > 0, (mass / np.maximum(occupied, 1))[levels], 0.0)
    p = own.copy()
    p[-1] += counts[kept:].sum()
    seen = p > 0
    if not q.any() or (q[seen] == 0).any():
        return math.inf
    p, q = p / p.sum(), q / q.sum()
    return float((p[seen] * np.log(p[seen] / q[seen])).sum())


def _with_zeros(first: Histogram, total: Histogram) -> float:
    counts, bin_width = total.view()
    counts = counts.copy()
    counts[0] += total.num_zeros
    return (entropy_index(counts, NUM_LEVELS, first_bin="as_counted") + 0.5) * bin_width


def _first_batch(first: Histogram, total: Histogram) -> float | None:
    return entropy_amax(first) if first.observed_max > 0 else None


def _clamped(first: Histogram, total: Histogram) -> float | None:
    return amax_over(total, first.observed_max / VIEW_BINS) if first.observed_max > 0 else None


def _dropped(first: Histogram, total: Histogram) -> float | None:
    if first.observed_max == 0:
        return None
    return amax_over(total, first.observed_max / VIEW_BINS, keep_beyond=False)


def _grown(first: Histogram, total: Histogram) -> float | None:
    if not 0 < total.observed_max <= _MAX_GROWTH * first.observed_max:
        return None
    bin_width = first.observed_max / VIEW_BINS
    return amax_over(total, bin_width, max(VIEW_BINS, math.ceil(total.observed_max / bin_width)))


def _doubled(first: Histogram, total: Histogram) -> float | None:
    if first.observed_max == 0:
        return None
    doublings = max(0, math.ceil(math.log2(total.observed_max / first.observed_max)))
    return amax_over(total, math.ldexp(first.observed_max, doublings) / VIEW_BINS)


VARIANTS: dict[str, Variant] = {
    OURS: lambda first, total: entropy_amax(total, first_bin="as_second"),
    "as_counted": lambda first, total: entropy_amax(total, first_bin="as_counted"),
    "with_zeros": _with_zeros,
    "first_batch": _first_batch,
    "range_of_first_clamped": _clamped,
    "range_of_first_dropped": _dropped,
    "range_of_first_grown": _grown,
    "range_of_first_doubled": _doubled,
}

MEANINGS = {
    OURS: "trtforge: the first bin takes the count of the second",
    "as_counted": "the first bin keeps its own count, exact zeros left out",
    "with_zeros": "the first bin keeps its own count and that of exact zeros",
    "first_batch": "only the first batch counts",
    "range_of_first_clamped": "the first batch fixes the range; larger values count in the last bin",
    "range_of_first_dropped": "the first batch fixes the range; larger values are lost",
    "range_of_first_grown": "the first batch fixes the bin width; bins are added for larger values",
    "range_of_first_doubled": "the first batch's range is doubled until it holds all values",
}
