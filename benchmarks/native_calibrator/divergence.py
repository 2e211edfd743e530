"""How much a threshold costs against the best one: the divergence that entropy calibration makes least."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trtforge.calibration import entropy_index

Counts = NDArray[np.int64]

_NUM_LEVELS = 128


def excess_divergence(amax: float, counts: Counts, bin_width: float) -> float | None:
    """Return how far the divergence at a threshold is above the least, as a share of that.

    The neighbouring candidates count as well, for a bin is the margin. None where the threshold is no
    candidate, or the divergence of all three is infinite: each ends on an empty bin.

    Parameters
    ----------
    amax : the threshold, in activation units.
    counts : of |x| over equal bins from zero.
    bin_width : of these, in activation units.
    """
    if not counts.any():
        return None
    kept = round(amax / bin_width - 0.5)
    if not _NUM_LEVELS <= kept <= counts.size:
        return None
    least = divergence(counts, entropy_index(counts, _NUM_LEVELS))
    candidates = range(max(kept - 1, _NUM_LEVELS), min(kept + 1, counts.size) + 1)
    found = min(divergence(counts, candidate) for candidate in candidates)
    return round(found / least - 1, 5) if least > 0 and math.isfinite(found) else None


def divergence(counts: Counts, kept: int, num_levels: int = _NUM_LEVELS) -> float:
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
