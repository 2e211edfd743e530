"""Units that travel in names and types, and the one rule by which time becomes samples."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import NewType

from trtforge.errors import ConfigError

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


_UNITS = {
    "": 1,
    "b": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", 1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", 1)},
}


def parse_bytes(text: str) -> int:
    """Read a byte count as people write it: ``400MB``, ``1.5 GiB``, ``65536``.

    Parameters
    ----------
    text : a number and a unit, in upper or lower case: B, kB, MB, GB, TB are powers of 1000; KiB, MiB, GiB,
        TiB are powers of 1024. Without a unit it is bytes.

    Returns
    -------
    At least 1; what a fraction leaves below a byte is dropped.

    Raises
    ------
    ConfigError : the text is no such size, or less than a byte.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([a-z]*)", text.strip().lower(), re.ASCII)
    if found is None or found[2] not in _UNITS:
        raise ConfigError(f"{text!r} is no size; write a number and a unit, such as 400MB, 1.5GiB or 65536")
    count = int(Decimal(found[1]) * _UNITS[found[2]])
    if count < 1:
        raise ConfigError(f"a size must be at least one byte, got {text!r}")
    return count


def format_duration(seconds: float) -> str:
    """Write a duration as people say it: ``0.83 s``, ``4 min 05 s``, ``2 h 03 min``."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


_TIMES_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_duration(text: str) -> Seconds:
    """Read a duration as people write it: ``30d``, ``12 h``, ``90min``, ``45s``.

    Parameters
    ----------
    text : a number and a unit: s, m or min, h, d, w.

    Raises
    ------
    ConfigError : the text is no such duration.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([a-z]+)", text.strip().lower(), re.ASCII)
    if found is None or found[2] not in _TIMES_S:
        raise ConfigError(f"{text!r} is no duration; write a number and a unit, such as 30d, 12h or 90min")
    return Seconds(float(found[1]) * _TIMES_S[found[2]])


def format_level(peak: float) -> str:
    """Write the largest magnitude of a clip, in samples of which 1 is full scale, in dBFS."""
    return f"{20 * math.log10(peak):.0f} dBFS" if peak > 0 else "nothing but zeros"
