"""Say when each symbol was spoken from where the decoder looked."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge._optional import require
from trtforge.errors import ExecutionError, InputError

# One step of the encoder's output, in seconds.
STEP_SECONDS = 0.02


def token_starts(attention: NDArray[np.floating[Any]], *, median_width: int = 7) -> NDArray[np.float64]:
    """Return when each symbol begins.

    Over the symbols each head's attention to a moment is brought to mean 0 and deviation 1, smoothed along
    time by a median, and averaged over the heads; dynamic time warping then finds the path from the first
    symbol and moment to the last that gathers most.

    Parameters
    ----------
    attention : floating [heads, symbols, steps], cut to the window's true length; one head, symbol and step
        at least.
    median_width : odd; steps of 20 ms.

    Returns
    -------
    float64 [symbols], in seconds from the window's begin, never decreasing.

    Raises
    ------
    InputError : an axis is empty, or the width is even.
    ExecutionError : the attention has NaN.
    MissingExtraError : numba is not installed.

    References
    ----------
    A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022, and the word times
    of its reference implementation.
    H. Sakoe, S. Chiba, "Dynamic Programming Algorithm Optimization for Spoken Word Recognition", 1978.
    """
    if attention.ndim != 3 or not attention.size:
        raise InputError(f"attention must be [heads, symbols, steps], none empty, got {attention.shape}")
    if median_width < 1 or median_width % 2 == 0:
        raise InputError(f"median_width must be odd, got {median_width}")
    if np.isnan(attention).any():
        raise ExecutionError("the attention of the alignment heads has NaN; its words have no times")
    median, path = _kernels()
    weights = np.ascontiguousarray(attention, np.float32)
    spread = weights.std(axis=1, keepdims=True)
    # A single symbol has no deviation.
    scaled = (weights - weights.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    if median_width // 2 < scaled.shape[2]:
        padded = np.pad(scaled, ((0, 0), (0, 0), (median_width // 2,) * 2), mode="reflect")
        scaled = median(padded, median_width)
    starts = path(-scaled.mean(axis=0).astype(np.float64))
    return np.asarray(starts, np.float64) * STEP_SECONDS


@cache
def _kernels() -> tuple[Any, Any]:
    return _compiled(_median), _compiled(_path)


def _compiled(function: Callable[..., Any]) -> Any:
    numba = require("numba", "say when words were spoken")
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no writable folder for the cache
        return numba.njit(nogil=True)(function)


def _median(padded: Any, width: int) -> Any:
    heads, symbols, steps = padded.shape
    result = np.empty((heads, symbols, steps - width + 1), padded.dtype)
    held = np.empty(width, padded.dtype)
    for head in range(heads):
        for symbol in range(symbols):
            for step in range(steps - width + 1):
                for index in range(width):
                    value = padded[head, symbol, step + index]
                    place = index
                    while place > 0 and held[place - 1] > value:
                        held[place] = held[place - 1]
                        place -= 1
                    held[place] = value
                result[head, symbol, step] = held[width // 2]
    return result


def _path(costs: Any) -> Any:
    """Return the first step of each symbol on the cheapest path through float64 [symbols, steps]."""
    symbols, steps = costs.shape
    total = np.full((symbols + 1, steps + 1), np.inf, np.float32)
    came = np.full((symbols + 1, steps + 1), -1, np.int8)
    total[0, 0] = 0
    for step in range(1, steps + 1):
        for symbol in range(1, symbols + 1):
            both = total[symbol - 1, step - 1]
            down = total[symbol - 1, step]
            along = total[symbol, step - 1]
            if both < down and both < along:
                best, way = both, 0
            elif down < both and down < along:
                best, way = down, 1
            else:
                best, way = along, 2
            total[symbol, step] = costs[symbol - 1, step - 1] + best
            came[symbol, step] = way
    came[0, :] = 2
    came[:, 0] = 1
    starts = np.zeros(symbols, np.int64)
    symbol, step = symbols, steps
    while symbol > 0 or step > 0:
        if symbol > 0:
            starts[symbol - 1] = max(step - 1, 0)
        way = came[symbol, step]
        if way == 0:
            symbol -= 1
            step -= 1
        elif way == 1:
            symbol -= 1
        else:
            step -= 1
    return starts
