"""Observers count the magnitudes of a tensor as it streams by, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.calibration._kernel import counting_kernel
from trtforge.calibration.histogram import MIN_EXPONENT, NUM_BINS, Histogram, fold
from trtforge.errors import CalibrationError

# Values copied at once where an array is strided or half precision.
_CHUNK_VALUES = 1 << 15


@dataclass(frozen=True)
class Tally:
    """What one call of `Observer.observe` saw.

    Parameters
    ----------
    num_values : number of finite values, zeros included.
    num_zeros : number of values that are exactly zero.
    num_nonfinite : number of NaN and infinite values.
    observed_max : largest finite magnitude, in activation units.
    """

    num_values: int
    num_zeros: int
    num_nonfinite: int
    observed_max: float


class Observer:
    """Count the magnitudes of one tensor.

    The counts are those that one call over all values would give, whatever the order, the batches and the
    calls. Memory stays at 4096 counters and, for strided or half-precision arrays, one small chunk.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(NUM_BINS, np.int64)
        self._exponent = MIN_EXPONENT
        self._observed_max = 0.0
        self._num_zeros = 0
        self._num_nonfinite = 0

    def observe(self, values: NDArray[Any]) -> Tally:
        """Count an array.

        Parameters
        ----------
        values : float16, float32 or float64, of any shape and strides; in activation units.

        Returns
        -------
        What this call alone saw, so that a caller who passes clips one by one has each clip's share.

        Raises
        ------
        CalibrationError : the dtype is another; nothing was counted.
        MissingExtraError : Numba is not installed.
        """
        if values.dtype not in (np.float16, np.float32, np.float64):
            raise CalibrationError(f"only float16, float32 and float64 can be observed, got {values.dtype}")
        kernel = counting_kernel()
        num_zeros = num_nonfinite = 0
        observed_max = 0.0
        for piece in _pieces(values):
            self._exponent, piece_max, zeros, nonfinite = kernel(piece, self._counts, self._exponent, 0.0)
            observed_max = max(observed_max, piece_max)
            num_zeros += zeros
            num_nonfinite += nonfinite
        self._observed_max = max(self._observed_max, observed_max)
        self._num_zeros += num_zeros
        self._num_nonfinite += num_nonfinite
        return Tally(values.size - num_nonfinite, num_zeros, num_nonfinite, observed_max)

    def merge(self, other: Observer | Histogram) -> None:
        """Add what another observer or histogram counted."""
        if isinstance(other, Observer):
            other = other.histogram()
        exponent = max(self._exponent, other.exponent)
        self._counts = fold(self._counts, exponent - self._exponent)
        self._counts += fold(other.counts, exponent - other.exponent)
        self._exponent = exponent
        self._observed_max = max(self._observed_max, other.observed_max)
        self._num_zeros += other.num_zeros
        self._num_nonfinite += other.num_nonfinite

    def histogram(self) -> Histogram:
        """Return the counts so far as a value; the observer may go on counting."""
        return Histogram(
            counts=self._counts,
            exponent=self._exponent,
            num_zeros=self._num_zeros,
            num_nonfinite=self._num_nonfinite,
            observed_max=self._observed_max,
        )

    def __repr__(self) -> str:
        return f"Observer({self.histogram()!r})"


def _pieces(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    # Contiguous single and double precision is counted in place; the rest passes through one small buffer.
    if values.size == 0:
        return
    if values.dtype != np.float16 and values.flags.forc:
        yield values.reshape(-1, order="A")
        return
    yield from np.nditer(
        values,
        flags=["external_loop", "buffered"],
        op_flags=["readonly"],
        op_dtypes=np.promote_types(values.dtype, np.float32),
        order="K",
        buffersize=_CHUNK_VALUES,
    )
