"""The counting loop, compiled by Numba on first use."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge._optional import require

# (values, counts, exponent, observed_max) -> (exponent, observed_max, num_zeros, num_nonfinite)
Kernel = Callable[[NDArray[Any], NDArray[np.int64], int, float], tuple[int, float, int, int]]

_BIN_BITS = 12


@cache
def counting_kernel() -> Kernel:
    """Return `_count` compiled; it releases the interpreter lock and is cached on disk where possible.

    Raises
    ------
    MissingExtraError : Numba is not installed.
    """
    numba = require("numba", "count activations")
    try:
        kernel: Kernel = numba.njit(nogil=True, cache=True)(_count)
    except RuntimeError:  # no writable folder for the cache
        kernel = numba.njit(nogil=True)(_count)
    return kernel


def _count(
    values: NDArray[Any], counts: NDArray[np.int64], exponent: int, observed_max: float
) -> tuple[int, float, int, int]:
    num_zeros = 0
    num_nonfinite = 0
    limit = math.ldexp(1.0, exponent)
    bins_per_unit = math.ldexp(1.0, _BIN_BITS - exponent)
    for index in range(values.size):
        magnitude = abs(np.float64(values[index]))
        if not magnitude < limit:
            # NaN fails every comparison, and infinity is above every finite range.
            if not magnitude < np.inf:
                num_nonfinite += 1
                continue
            wanted = math.frexp(magnitude)[1]
            shift = min(wanted - exponent, _BIN_BITS)
            for source in range(1, counts.size):
                moved = counts[source]
                counts[source] = 0
                counts[source >> shift] += moved
            exponent = wanted
            limit = math.ldexp(1.0, exponent)
            bins_per_unit = math.ldexp(1.0, _BIN_BITS - exponent)
        # Zeros go into the first bin here and out of it below: a branch for each would be slower.
        num_zeros += magnitude == 0.0
        counts[np.int64(magnitude * bins_per_unit)] += 1
        observed_max = max(observed_max, magnitude)
    counts[0] -= num_zeros
    return exponent, observed_max, num_zeros, num_nonfinite
