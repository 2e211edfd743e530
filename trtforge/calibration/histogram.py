"""Histograms of magnitudes on power-of-two ranges, whose counts no order of arrival can change."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import CalibrationError, ConfigError

NUM_BINS = 4096
_BIN_BITS = 12
# A range below this would need a bin width that float64 cannot invert; such values share the first bins.
MIN_EXPONENT = -1000
MAX_VIEW_BINS = NUM_BINS // 2

Counts = NDArray[np.int64]


class HistogramView(NamedTuple):
    """Counts over equal bins from zero to the largest magnitude seen.

    Parameters
    ----------
    counts : int64 [num_bins].
    bin_width : in activation units; ``num_bins * bin_width`` is the largest magnitude.
    """

    counts: Counts
    bin_width: float


@dataclass(frozen=True, eq=False, repr=False)
class Histogram:
    """Counts of the magnitudes of one tensor.

    Bin ``i`` counts the values with ``i * bin_width <= |x| < (i + 1) * bin_width``. The range is the smallest
    power of two above the largest magnitude, so it and every count depend on the values alone, never on the
    order or the batches in which they came. Zeros and non-finite values lie in no bin.

    Parameters
    ----------
    counts : int64 [4096], of finite values other than zero.
    exponent : the bins cover magnitudes from 0 to ``2 ** exponent``, in activation units.
    num_zeros : number of values that are exactly zero.
    num_nonfinite : number of NaN and infinite values.
    observed_max : largest finite magnitude, in activation units; 0 where nothing but zeros was seen.

    Raises
    ------
    CalibrationError : the fields contradict each other.
    """

    counts: Counts = field(default_factory=lambda: np.zeros(NUM_BINS, np.int64))
    exponent: int = MIN_EXPONENT
    num_zeros: int = 0
    num_nonfinite: int = 0
    observed_max: float = 0.0

    def __post_init__(self) -> None:
        if self.counts.shape != (NUM_BINS,) or self.counts.dtype != np.int64:
            raise CalibrationError(
                f"a histogram has {NUM_BINS} int64 counts, got {self.counts.dtype} {list(self.counts.shape)}"
            )
        if self.counts.min() < 0 or self.num_zeros < 0 or self.num_nonfinite < 0:
            raise CalibrationError("a histogram has no negative counts, got one")
        if not (math.isfinite(self.observed_max) and self.observed_max >= 0):
            raise CalibrationError(f"observed_max must be finite and not negative, got {self.observed_max!r}")
        if self.exponent != range_exponent(self.observed_max):
            raise CalibrationError(
                f"a largest magnitude of {self.observed_max!r} belongs on the range "
                f"2**{range_exponent(self.observed_max)}, got 2**{self.exponent}"
            )
        occupied = np.flatnonzero(self.counts)
        last = int(occupied[-1]) if occupied.size else None
        expected = int(self._max_position) if self.observed_max > 0 else None
        if last != expected:
            raise CalibrationError(
                f"a largest magnitude of {self.observed_max!r} lies in bin {expected}, "
                f"but the last bin with a count is {last}"
            )
        counts = self.counts.copy()
        counts.setflags(write=False)
        object.__setattr__(self, "counts", counts)

    @property
    def bin_width(self) -> float:
        """Width of a bin, in activation units."""
        return math.ldexp(1.0, self.exponent - _BIN_BITS)

    @property
    def num_values(self) -> int:
        """Number of finite values seen, zeros included."""
        return int(self.counts.sum()) + self.num_zeros

    def merge(self, other: Histogram) -> Histogram:
        """Return the histogram of both sets of values together: exact, in any order and grouping."""
        exponent = max(self.exponent, other.exponent)
        return Histogram(
            counts=fold(self.counts, exponent - self.exponent)
            + fold(other.counts, exponent - other.exponent),
            exponent=exponent,
            num_zeros=self.num_zeros + other.num_zeros,
            num_nonfinite=self.num_nonfinite + other.num_nonfinite,
            observed_max=max(self.observed_max, other.observed_max),
        )

    def view(self, num_bins: int = MAX_VIEW_BINS) -> HistogramView:
        """Derive the histogram over ``num_bins`` equal bins from zero to the largest magnitude.

        This is the binning that entropy calibration is defined on. The running total of the counts is read
        off at the new edges, taking values as evenly spread within a bin, and rounded, halves up. The
        total is kept, and the result is a function of the histogram alone.

        Parameters
        ----------
        num_bins : 1 to 2048; more would claim a resolution that the counts may not have.

        Raises
        ------
        ConfigError : ``num_bins`` is outside that range.
        """
        if not 1 <= num_bins <= MAX_VIEW_BINS:
            raise ConfigError(f"num_bins must be 1 to {MAX_VIEW_BINS}, got {num_bins}")
        edges = np.arange(1, num_bins, dtype=np.float64) * (self._max_position / num_bins)
        totals = np.floor(self._running_total(edges) + 0.5).astype(np.int64)
        counts = np.diff(totals, prepend=0, append=int(self.counts.sum()))
        return HistogramView(counts, self.observed_max / num_bins)

    def share_above(self, amax: float) -> float:
        """Return the share of the finite values above ``amax``, taken as evenly spread within a bin.

        Parameters
        ----------
        amax : in activation units.
        """
        if amax >= self.observed_max or self.num_values == 0:
            return 0.0
        position = np.array([max(amax, 0.0) / self.bin_width])
        above = float(self.counts.sum()) - float(self._running_total(position)[0])
        return min(max(above / self.num_values, 0.0), 1.0)

    @property
    def _max_position(self) -> float:
        return self.observed_max / self.bin_width

    def _running_total(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        # Number of values below each position; positions are in bins and lie below that of the maximum.
        bins = positions.astype(np.int64)
        fractions = positions - bins
        # The last bin is filled only up to the largest magnitude.
        top = int(self._max_position)
        fractions[bins == top] /= max(self._max_position - top, math.ulp(0.0))
        below = np.concatenate(([0], np.cumsum(self.counts)))[bins]
        total: NDArray[np.float64] = below + np.minimum(fractions, 1.0) * self.counts[bins]
        return total

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return (
            self.exponent == other.exponent
            and self.num_zeros == other.num_zeros
            and self.num_nonfinite == other.num_nonfinite
            and self.observed_max == other.observed_max
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return (
            f"Histogram(num_values={self.num_values}, num_zeros={self.num_zeros}, "
            f"num_nonfinite={self.num_nonfinite}, observed_max={self.observed_max:.6g}, "
            f"range=2**{self.exponent})"
        )


def range_exponent(observed_max: float) -> int:
    """Return the smallest ``e`` with ``observed_max < 2 ** e``: a power of two opens the next range."""
    return max(math.frexp(observed_max)[1], MIN_EXPONENT) if observed_max > 0 else MIN_EXPONENT


def fold(counts: Counts, num_doublings: int) -> Counts:
    """Double the range ``num_doublings`` times, adding neighbouring bins each time."""
    if num_doublings == 0:
        return np.array(counts)
    shift = min(num_doublings, _BIN_BITS)
    folded = np.zeros_like(counts)
    folded[: NUM_BINS >> shift] = counts.reshape(-1, 1 << shift).sum(axis=1)
    return folded
