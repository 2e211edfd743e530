"""Time calls of a backend; the part of a worker that is the same for all libraries."""

from __future__ import annotations

import statistics
import time
from typing import Any, Protocol

# Calls in a window of warming up, at least.
_MIN_WINDOW = 3
_WINDOW_S = 0.1
# Before each turn, as others have had the machine since the last one.
_LEAD_IN_S = 0.05


class Backend(Protocol):
    """What can be timed."""

    def launch(self, index: int) -> None:
        """Begin an inference over one of the inputs, in rotation; on a GPU it is queued."""

    def synchronize(self) -> None:
        """Wait for what was begun."""

    def mark(self, which: int) -> None:
        """Set the first (0) or second (1) of two marks between which `elapsed_ms` measures."""

    def elapsed_ms(self) -> float | None:
        """Return the time of the GPU between the marks; None where no GPU takes part."""


def settle(backend: Backend, *, limit_s: float, tolerance: float) -> dict[str, Any]:
    """Call again and again until three windows in a row have like medians, or the time is up."""
    begin, medians, calls = time.perf_counter(), list[float](), 0
    is_settled = False
    while not is_settled and time.perf_counter() - begin < limit_s:
        times, window = list[float](), time.perf_counter()
        while len(times) < _MIN_WINDOW or time.perf_counter() - window < _WINDOW_S:
            times.append(_call_ms(backend, calls))
            calls += 1
        medians.append(statistics.median(times))
        last = medians[-3:]
        is_settled = len(last) == 3 and max(last) <= min(last) * (1 + tolerance)
    return {"seconds": time.perf_counter() - begin, "calls": calls, "is_settled": is_settled}


def singles(backend: Backend, *, limit_s: float, max_calls: int, first: int) -> dict[str, Any]:
    """Time calls one by one, each waited for.

    Parameters
    ----------
    backend : what is called.
    limit_s : time for all, in seconds; 3 calls are made in any case.
    max_calls : most calls.
    first : index of the input to begin with, so that rounds go on where the last one ended.

    Returns
    -------
    ``wall_ms`` of each call by the host's clock, and ``device_ms`` by the GPU's events, or None.
    """
    _lead_in(backend, first)
    wall_ms: list[float] = []
    device_ms: list[float | None] = []
    begin = time.perf_counter()
    while len(wall_ms) < _MIN_WINDOW or (len(wall_ms) < max_calls and time.perf_counter() - begin < limit_s):
        wall_ms.append(_call_ms(backend, first + len(wall_ms)))
        device_ms.append(backend.elapsed_ms())
    return {"wall_ms": wall_ms, "device_ms": None if None in device_ms else device_ms}


def burst(backend: Backend, *, seconds: float, call_ms: float, first: int) -> dict[str, Any]:
    """Time calls that are queued without waiting for each.

    Parameters
    ----------
    backend : what is called.
    seconds : how long it should take.
    call_ms : what a call takes about, in milliseconds.
    first : index of the input to begin with.

    Returns
    -------
    ``calls``, and ``seconds`` from the first call to the end of the last one.
    """
    calls = max(_MIN_WINDOW, round(1e3 * seconds / call_ms))
    backend.synchronize()
    begin = time.perf_counter()
    for index in range(calls):
        backend.launch(first + index)
    backend.synchronize()
    return {"calls": calls, "seconds": time.perf_counter() - begin}


def _lead_in(backend: Backend, first: int) -> None:
    begin = time.perf_counter()
    while time.perf_counter() - begin < _LEAD_IN_S:
        backend.launch(first)
        backend.synchronize()


def _call_ms(backend: Backend, index: int) -> float:
    begin = time.perf_counter()
    backend.mark(0)
    backend.launch(index)
    backend.mark(1)
    backend.synchronize()
    return 1e3 * (time.perf_counter() - begin)
