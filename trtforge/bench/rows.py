"""Sum the turns of a contender at one shape up; values in, plain JSON values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trtforge.bench.config import Case


@dataclass(frozen=True)
class Turn:
    """What one contender did in one round.

    Parameters
    ----------
    wall_ms : each call that was waited for, by the host's clock, in milliseconds.
    device_ms : the same calls by the GPU's events; None without a GPU.
    calls : calls of the burst.
    seconds : time of the burst.
    energy_j : energy that the whole GPU took meanwhile, in joules; None where that is not told.
    host_bytes : resident memory of the process afterwards.
    gpu_state : clocks in MHz, temperature, power at the end of the burst.
    """

    wall_ms: Sequence[float]
    device_ms: Sequence[float] | None
    calls: int
    seconds: float
    energy_j: float | None = None
    host_bytes: int | None = None
    gpu_state: Mapping[str, Any] = field(default_factory=dict)


def summarize(turns: Sequence[Turn], case: Case, *, frame_s: float) -> dict[str, Any]:
    """Return percentiles over all calls, and the middle of the rounds with each round beside it.

    Parameters
    ----------
    turns : of every round, one or more.
    case : the shape.
    frame_s : duration of a frame, in seconds.

    Returns
    -------
    ``wall_ms`` and ``device_ms`` (None without a GPU) with ``p50``, ``p95``, ``p99`` and the p50 of each
    round; ``rows_per_s`` with its median and each round; ``rtfx``, seconds of signal for a second of time,
    None where the case has no frames; ``energy_j`` for a row; ``host_bytes``; and ranges of the GPU's state.
    """
    rates = [turn.calls * case.batch / turn.seconds for turn in turns]
    energies = [turn.energy_j / (turn.calls * case.batch) for turn in turns if turn.energy_j is not None]
    has_device = all(turn.device_ms is not None for turn in turns)
    rate = float(np.median(rates))
    return {
        "calls": sum(len(turn.wall_ms) for turn in turns),
        "wall_ms": _latencies([turn.wall_ms for turn in turns]),
        "device_ms": _latencies([turn.device_ms or () for turn in turns]) if has_device else None,
        "rows_per_s": {"median": _short(rate), "rounds": [_short(value) for value in rates]},
        "rtfx": None if case.frames is None else _short(rate * case.frames * frame_s),
        "energy_j": _short(float(np.median(energies))) if energies else None,
        "host_bytes": max((turn.host_bytes for turn in turns if turn.host_bytes), default=None),
        "gpu_state": _ranges([turn.gpu_state for turn in turns]),
    }


def _latencies(rounds: Sequence[Sequence[float]]) -> dict[str, Any]:
    pooled = np.concatenate([np.asarray(times, np.float64) for times in rounds])
    p50, p95, p99 = np.percentile(pooled, [50, 95, 99])
    return {
        "p50": _short(p50),
        "p95": _short(p95),
        "p99": _short(p99),
        "rounds": [_short(float(np.median(times))) for times in rounds],
    }


def _ranges(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for state in states for key in state):
        values = [state[key] for state in states if key in state]
        found[key] = sorted(set(values)) if isinstance(values[0], str) else [min(values), max(values)]
    return found


def _short(value: float) -> float:
    """Keep five digits, more than any time repeats."""
    return float(f"{value:.5g}")
