"""Numbers as the page writes them."""

from __future__ import annotations

import math
from collections.abc import Sequence

DASH = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
_PRECISIONS = {
    "int4": "INT4",
    "int8": "INT8",
    "fp8": "FP8",
    "float8": "FP8",
    "float8e4m3fn": "FP8",
    "float16": "FP16",
    "bfloat16": "BF16",
    "float32": "FP32",
    "int8_weight_only": "INT8 weights",
    "int4_weight_only": "INT4 weights",
}


def percent(share: float | None, digits: int = 2) -> str:
    """Write a share as percent: ``12.34 %``; a dash where there is none."""
    return DASH if share is None else f"{100 * share:.{digits}f} %"


def small_percent(share: float) -> str:
    """Write a share that may be tiny: ``0 %``, ``< 0.001 %``, ``0.012 %``, ``3.4 %``."""
    if share == 0:
        return "0 %"
    return "< 0.001 %" if share < 1e-5 else f"{100 * share:.2g} %"


def points(change: float | None) -> str:
    """Write a difference of shares in points with its sign: ``+0.42``."""
    return DASH if change is None else f"{100 * change:+.2f}".replace("-", _MINUS)


def percent_range(interval: Sequence[float] | None) -> str:
    """Write an interval of shares in percent: ``11.20 to 13.48``."""
    return "" if interval is None else f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}"


def points_range(interval: Sequence[float] | None) -> str:
    """Write an interval of differences in points: ``-0.10 to +0.52``, with a true minus sign."""
    return "" if interval is None else f"{points(interval[0])} to {points(interval[1])}"


def number(value: float | None) -> str:
    """Write a measured value with four significant digits."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:.4g}".replace("-", _MINUS)


def count(value: int) -> str:
    """Write a count with thin spaces between thousands."""
    return f"{int(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def plural(value: int, noun: str) -> str:
    """Write a count with its noun: ``1 clip``, ``240 clips``."""
    return f"{count(value)} {noun}" if int(value) == 1 else f"{count(value)} {noun}s"


def precision_name(name: str) -> str:
    """Write a precision as people say it: ``INT8``, ``FP16``."""
    return _PRECISIONS.get(name, name)
