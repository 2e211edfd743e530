"""The counting loops, compiled by Numba on first use."""

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
_NUM_BINS = 1 << _BIN_BITS
_BLOCK_VALUES = 1024
# Ranges on which a product of a float32 with the inverse bin width is exact or underflows into the first bin.
_MIN_SINGLE_EXPONENT = -100
_MAX_SINGLE_EXPONENT = 128
# A counter of 32 bits cannot overflow within one call.
_MAX_CALL_VALUES = 1 << 31
_MAGNITUDE_BITS = np.uint32(0x7FFFFFFF)
_INFINITY_BITS: np.uint32 = np.uint32(0x7F800000)
_ONE = np.uint32(1)


@cache
def counting_kernel() -> Kernel:
    """Return the counting function, compiled; it releases the interpreter lock while it counts.

    Raises
    ------
    MissingExtraError : Numba is not installed.
    """
    any_range, within_range = _compiled(_count), _compiled(_count_within)

    def count(
        values: NDArray[Any], counts: NDArray[np.int64], exponent: int, observed_max: float
    ) -> tuple[int, float, int, int]:
        if values.dtype != np.float32:
            result: tuple[int, float, int, int] = any_range(values, counts, exponent, observed_max)
            return result
        num_zeros = num_nonfinite = start = 0
        while start < values.size:
            if _MIN_SINGLE_EXPONENT <= exponent <= _MAX_SINGLE_EXPONENT:
                done, largest, zeros = within_range(
                    values[start : start + _MAX_CALL_VALUES], counts, exponent, _limit_bits(exponent)
                )
                start += done
                num_zeros += zeros
                observed_max = max(observed_max, float(largest))
                if done == _MAX_CALL_VALUES or start >= values.size:
                    continue
            # A block with a value beyond the range, or not finite: few, as the range never shrinks.
            block = values[start : start + _BLOCK_VALUES]
            exponent, observed_max, zeros, nonfinite = any_range(block, counts, exponent, observed_max)
            start += block.size
            num_zeros += zeros
            num_nonfinite += nonfinite
        return exponent, observed_max, num_zeros, num_nonfinite

    return count


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    numba = require("numba", "count activations")
    try:
        compiled: Callable[..., Any] = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no writable folder for the cache
        compiled = numba.njit(nogil=True)(function)
    return compiled


def _limit_bits(exponent: int) -> np.uint32:
    if exponent >= _MAX_SINGLE_EXPONENT:
        return _INFINITY_BITS
    bits: np.uint32 = np.array([math.ldexp(1.0, exponent)], np.float32).view(np.uint32)[0]
    return bits


def _count_within(
    values: NDArray[np.float32], counts: NDArray[np.int64], exponent: int, limit_bits: np.uint32
) -> tuple[int, np.float32, int]:
    """Count until a block has a value beyond the range; return how many, the largest, and the zeros."""
    # Magnitudes order as their bits do, and loops over whole blocks of these compile to vector instructions.
    # Two tables in turn: a row of equal values would otherwise wait for its own counter each time.
    bits = values.view(np.uint32)
    even = np.zeros(_NUM_BINS, np.uint32)
    odd = np.zeros(_NUM_BINS, np.uint32)
    bins = np.empty(_BLOCK_VALUES, np.int32)
    bins_per_unit = np.float32(math.ldexp(1.0, _BIN_BITS - exponent))
    largest = np.zeros(1, np.uint32)
    num_zeros = 0
    done = 0
    while done < values.size:
        block = values[done : done + _BLOCK_VALUES]
        block_bits = bits[done : done + _BLOCK_VALUES]
        block_max = np.uint32(0)
        for index in range(block.size):
            block_max = max(block_max, block_bits[index] & _MAGNITUDE_BITS)
        if block_max >= limit_bits:
            break
        largest[0] = max(largest[0], block_max)
        zeros = np.uint32(0)
        for index in range(block.size):
            zeros += np.uint32((block_bits[index] & _MAGNITUDE_BITS) == 0)
        num_zeros += np.int64(zeros)
        for index in range(block.size):
            bins[index] = np.int32(abs(block[index]) * bins_per_unit)
        half = block.size >> 1
        first, second = bins[:half], bins[half : block.size]
        for index in range(half):
            even[np.uint64(first[index])] += _ONE
            odd[np.uint64(second[index])] += _ONE
        for index in range(half, second.size):
            odd[np.uint64(second[index])] += _ONE
        done += block.size
    for index in range(_NUM_BINS):
        counts[index] += np.int64(even[index]) + np.int64(odd[index])
    counts[0] -= num_zeros
    return done, largest.view(np.float32)[0], num_zeros


def _count(
    values: NDArray[Any], counts: NDArray[np.int64], exponent: int, observed_max: float
) -> tuple[int, float, int, int]:
    """Count values of any magnitude one by one, doubling the range as they ask for it."""
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
