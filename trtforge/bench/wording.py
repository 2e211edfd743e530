"""Figures of a result as people read them; one place for tables, pages and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trtforge.bench.contenders import CONTENDERS
from trtforge.report.formatting import DASH
from trtforge.units import format_bytes


def title(contender: str) -> str:
    """Return what a contender is called in tables."""
    return CONTENDERS[contender].title if contender in CONTENDERS else contender


def latency(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the latencies that count: the GPU's where it takes part, else the host's."""
    found: Mapping[str, Any] = row["device_ms"] or row["wall_ms"]
    return found


def spread(values: Sequence[float]) -> float:
    """Return how far rounds lie apart: half of their range by their median, a fraction."""
    ordered = sorted(values)
    middle = ordered[len(ordered) // 2]
    return (ordered[-1] - ordered[0]) / 2 / middle


def milliseconds(value: float) -> str:
    """Write a time with three digits that count."""
    return f"{value:.4f}" if value < 0.1 else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def rate(value: float | None) -> str:
    """Write a rate: whole numbers from 100 on."""
    return DASH if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def energy(joules: float | None) -> str:
    """Write energy in joules."""
    return DASH if joules is None else f"{joules:.3g}"


def size(count: int | None) -> str:
    """Write bytes; less than none is what other programs gave back meanwhile, and no measurement."""
    return DASH if count is None or count < 0 else format_bytes(count)


def snr(contender: Mapping[str, Any]) -> str:
    """Write the least SNR of the outputs, in dB."""
    accuracy = contender.get("accuracy")
    if not accuracy:
        return DASH
    if accuracy["nonfinite"]:
        return "not finite"
    values = [value for value in accuracy["snr_db"].values() if value is not None]
    return f"{min(values):.1f}" if values else "identical"


def words(contender: Mapping[str, Any]) -> str:
    """Write the word error rate, in percent."""
    found = (contender.get("accuracy") or {}).get("wer")
    return DASH if not found else f"{100 * found['rate']:.2f}"


def seconds(value: float | None) -> str:
    """Write a time in seconds."""
    return DASH if value is None else f"{value:.1f}"


def shape(row: Mapping[str, Any]) -> str:
    """Name a case."""
    return f"batch {row['batch']}" + (f", {row['frames']} frames" if row["frames"] else "")
