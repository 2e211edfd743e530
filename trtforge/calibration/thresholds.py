"""Choose a clipping threshold from a histogram: pure functions, all from the same counts.

Each takes a `Histogram` and returns ``amax``, the magnitude that INT8 level 127 stands for, in activation
units; each returns 0 where nothing but zeros was seen.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trtforge.calibration.histogram import Counts, Histogram
from trtforge.errors import CalibrationError, ConfigError
from trtforge.scales import INT8_MAX

# Divergences nearer than this, in nats, are equal: their order would be that of rounding errors.
TIE_NATS = 1e-9
# Candidates worked on at once, so that the arrays stay in the processor's cache.
_ROWS = 256

FirstBin = Literal["as_second", "as_counted"]


def max_amax(histogram: Histogram) -> float:
    """Clip nothing: return the largest magnitude seen.

    Parameters
    ----------
    histogram : counts of |x|, int64 [4096].

    Raises
    ------
    CalibrationError : no values were observed.
    """
    _require_values(histogram)
    return histogram.observed_max


def percentile_amax(histogram: Histogram, percentile: float = 99.99) -> float:
    """Return the least bin edge at or below which ``percentile`` percent of the magnitudes lie.

    Zeros count as magnitudes. Where so many values are zero that the percentile itself is, the edge of the
    first bin with a count is returned, since a range of zero would represent nothing.

    Parameters
    ----------
    histogram : counts of |x|, int64 [4096].
    percentile : above 0, up to 100; 100 returns the largest magnitude.

    Raises
    ------
    CalibrationError : no values were observed.
    ConfigError : ``percentile`` is out of range.
    """
    check_percentile(percentile)
    _require_values(histogram)
    # As the decimal that was written: in binary, 99.99 % of 10 000 would be a little more than 9999.
    rank = math.ceil(Fraction(str(percentile)) * histogram.num_values / 100)
    rank = max(rank - histogram.num_zeros, 1)
    index = int(np.searchsorted(np.cumsum(histogram.counts), rank))
    return min((index + 1) * histogram.bin_width, histogram.observed_max)


def check_percentile(percentile: float) -> None:
    """Raise `ConfigError` unless it lies above 0 and up to 100."""
    if not 0 < percentile <= 100:
        raise ConfigError(
            f"percentile must lie above 0 and up to 100, got {percentile!r}", settings=("percentile",)
        )


def mse_amax(histogram: Histogram) -> float:
    """Choose the threshold with the least mean squared quantization error.

    Candidates are the upper edges of bins 128 to 2048 of the view; each bin's values stand at its centre, are
    rounded to the nearest of 127 levels, and clipped. The largest of equal candidates wins.

    Parameters
    ----------
    histogram : counts of |x|, int64 [4096].

    Raises
    ------
    CalibrationError : no values were observed.

    References
    ----------
    H. Wu et al., "Integer Quantization for Deep Learning Inference: Principles and Empirical Evaluation",
    2020, arXiv:2004.09602, section 5.
    """
    _require_values(histogram)
    if histogram.observed_max == 0:
        return 0.0
    counts, bin_width = histogram.view()
    return _mse_index(counts) * bin_width


def entropy_amax(histogram: Histogram, num_levels: int = 128, *, first_bin: FirstBin = "as_second") -> float:
    """Choose the clipping threshold that loses least information, as TensorRT does.

    The search is `entropy_index` on the 2048-bin view; the threshold is half a bin above its edge.

    Parameters
    ----------
    histogram : counts of |x|, int64 [4096].
    num_levels : magnitudes that the quantized type can tell apart: 128 for INT8.
    first_bin : as for `entropy_index`.

    Raises
    ------
    CalibrationError : no values were observed.
    ConfigError : ``num_levels`` is out of range.

    References
    ----------
    S. Migacz, "8-bit Inference with TensorRT", GTC 2017.
    """
    _require_values(histogram)
    if histogram.observed_max == 0:
        return 0.0
    counts, bin_width = histogram.view()
    return (entropy_index(counts, num_levels, first_bin=first_bin) + 0.5) * bin_width


def entropy_index(counts: Counts, num_levels: int = 128, *, first_bin: FirstBin = "as_second") -> int:
    """Return how many bins to keep so that quantizing them loses least information.

    For a candidate ``m``, P is the first ``m`` bins with all counts beyond them added to the last one. Q is
    those bins without that addition, where bin ``i`` belongs to level ``i * num_levels // m`` and each
    level's counts are spread evenly over its bins that have any. Both are normalised, and the ``m`` with the
    least Kullback-Leibler divergence of P from Q wins; among candidates within 1e-9 nats, the largest. A
    candidate with an empty last bin and counts beyond it has infinite divergence.

    Parameters
    ----------
    counts : of |x|, int64 [num_bins].
    num_levels : number of levels, and the first candidate; 1 to ``num_bins``.
    first_bin : ``as_second`` gives the first bin the count of the second, unless that leaves no counts at
        all; ``as_counted`` leaves it. Activations that crowd around zero, as after GELU or softmax, would
        otherwise decide the threshold, although they cost next to nothing at any.

    Returns
    -------
    m, from ``num_levels`` to ``num_bins``.

    Raises
    ------
    CalibrationError : all counts are zero.
    ConfigError : there are fewer bins than levels, or ``first_bin`` is none of those.

    References
    ----------
    S. Migacz, "8-bit Inference with TensorRT", GTC 2017.
    NVIDIA TensorRT, tools/pytorch-quantization, histogram calibrator: the first bin, ties, empty last bins.
    """
    if first_bin not in ("as_second", "as_counted"):
        raise ConfigError(f"first_bin must be 'as_second' or 'as_counted', got {first_bin!r}")
    if not 1 <= num_levels <= counts.size:
        raise ConfigError(f"num_levels must be 1 to the number of bins, {counts.size}, got {num_levels}")
    if not counts.any():
        raise CalibrationError("no threshold can be chosen from a histogram without counts")
    if first_bin == "as_second" and counts[1:].any():
        counts = np.concatenate((counts[1:2], counts[1:]))
    divergences = _divergences(counts, num_levels)
    ties = np.flatnonzero(divergences <= divergences.min() + TIE_NATS)
    return num_levels + int(ties[-1])


def _divergences(counts: Counts, num_levels: int) -> NDArray[np.float64]:
    # With c the counts, k the sum of those kept, o of those clipped, and a level of mass l over n bins:
    #   T * KL = sum c ln c - sum l ln(l / n), the clipped o added to the last bin and level, + T ln(k / T).
    # Sums over bins become differences of running totals, one for each edge of each level.
    kept_bins = np.arange(num_levels, counts.size + 1)
    total = float(counts.sum())
    running = np.concatenate(([0], np.cumsum(counts))).astype(np.float64)
    occupied = np.concatenate(([0], np.cumsum(counts > 0)))
    information = np.concatenate(([0.0], np.cumsum(_x_log_x(counts.astype(np.float64)))))

    logs, edges = _log_of_integers(counts.size), _level_edges(counts.size, num_levels)
    kept, last = running[kept_bins], counts[kept_bins - 1].astype(np.float64)
    clipped = total - kept
    spread = np.empty(kept_bins.size)
    for start in range(0, kept_bins.size, _ROWS):
        rows = slice(start, start + _ROWS)
        mass = np.diff(running.take(edges[rows]), axis=1)
        mean_log = _safe_log(mass) - logs.take(np.diff(occupied.take(edges[rows]), axis=1))
        mass[:, -1] += clipped[rows]
        spread[rows] = np.einsum("ij,ij->i", mass, mean_log)
    own = information[kept_bins - 1] + _x_log_x(last + clipped)
    divergences = (own - spread) / total + _safe_log(kept) - math.log(total)
    divergences[(last == 0) & (clipped > 0)] = np.inf
    result: NDArray[np.float64] = divergences
    return result


def _mse_index(counts: Counts, num_levels: int = INT8_MAX) -> int:
    # In half bins, bin i stands at 2 i + 1 and level q of candidate m at q * step, step = 2 m / 127. By
    # parts,
    #   sum c (x - q step)^2 = sum c x^2 - 2 step sum_q X_q + step^2 sum_q (2 q - 1) C_q
    # with X_q and C_q the sums of c x and c over the bins that round to level q or above.
    candidates = np.arange(num_levels + 1, counts.size + 1)
    centres = 2.0 * np.arange(counts.size) + 1.0
    above = _sums_from(counts.astype(np.float64))
    moment_above = _sums_from(counts * centres)
    starts = _rounding_starts(counts.size, num_levels)
    step = 2.0 * candidates / num_levels
    odd = 2.0 * np.arange(1, num_levels + 1) - 1.0
    errors = step**2 * (above[starts] @ odd) - 2.0 * step * moment_above[starts].sum(axis=1)
    scale = float(counts @ centres**2)
    ties = np.flatnonzero(errors <= errors.min() + 1e-12 * scale)
    return int(candidates[ties[-1]])


@lru_cache(maxsize=8)
def _level_edges(num_bins: int, num_levels: int) -> NDArray[np.intp]:
    # First bin of each level for each candidate, and the end: bin i is in level i * num_levels // m.
    kept_bins = np.arange(num_levels, num_bins + 1)[:, None]
    edges: NDArray[np.intp] = -(-np.arange(num_levels + 1) * kept_bins // num_levels)
    edges.setflags(write=False)
    return edges


@lru_cache(maxsize=8)
def _rounding_starts(num_bins: int, num_levels: int) -> NDArray[np.intp]:
    # First bin whose centre rounds to level q or above: 2 i + 1 >= (q - 1/2) * 2 m / num_levels.
    candidates = np.arange(num_levels + 1, num_bins + 1)[:, None]
    odd = 2 * np.arange(1, num_levels + 1) - 1
    starts: NDArray[np.intp] = -(-(odd * candidates - num_levels) // (2 * num_levels))
    starts.setflags(write=False)
    return starts


@lru_cache(maxsize=8)
def _log_of_integers(largest: int) -> NDArray[np.float64]:
    logs = _safe_log(np.arange(largest + 1, dtype=np.float64))
    logs.setflags(write=False)
    return logs


def _sums_from(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate((np.cumsum(values[::-1])[::-1], [0.0]))


def _safe_log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    # Zero where the value is: such a term has no mass.
    result: NDArray[np.float64] = np.log(np.maximum(values, 1.0))
    return result


def _x_log_x(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values * _safe_log(values)


def _require_values(histogram: Histogram) -> None:
    if histogram.num_values == 0:
        raise CalibrationError(
            "no threshold can be chosen: no finite values were observed",
            hint="observe at least one clip whose activations are finite",
        )
