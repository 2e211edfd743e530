"""Units that travel in names and types, and the one rule by which time becomes samples."""

from __future__ import annotations

import math
from typing import NewType

Seconds = NewType("Seconds", float)


def num_samples(duration: float, sampling_rate: int) -> int:
    """Convert seconds to samples, rounding halves up."""
    return math.floor(duration * sampling_rate + 0.5)


def format_bytes(count: int) -> str:
    """Write a byte count with a binary unit: ``11.2 MiB``."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


def format_duration(seconds: float) -> str:
    """Write a duration as people say it: ``0.83 s``, ``4 min 05 s``, ``2 h 03 min``."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
