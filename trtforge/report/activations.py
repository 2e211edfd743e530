"""The activations part of the page: a small histogram for each calibrated tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trtforge.report.formatting import count, number, plural, small_percent
from trtforge.report.plots import Plots

_NUM_SHOWN = 12


def activations_section(report: Mapping[str, Any], plots: Plots) -> dict[str, Any] | None:
    """Return the tensors, those first whose threshold cuts deepest, split in shown and folded ones."""
    calibration = report.get("calibration")
    if not calibration:
        return None
    tensors = sorted(calibration.get("tensors") or [], key=_interest)
    panels = [_panel(tensor, plots) for tensor in tensors]
    rejected = calibration.get("rejected") or {}
    return {
        "method": calibration["method"],
        "clips": plural(calibration["num_clips"], "clip"),
        "tensors": plural(len(tensors), "tensor"),
        "shown": panels[:_NUM_SHOWN],
        "folded": panels[_NUM_SHOWN:],
        "rejected": [{"id": clip, "reason": reason} for clip, reason in rejected.items()],
    }


def _interest(tensor: Mapping[str, Any]) -> tuple[bool, float, float]:
    return (
        not tensor.get("floored"),
        -float(tensor["observed_max"]) / float(tensor["amax"]),
        -float(tensor["clipped_share"]),
    )


def _panel(tensor: Mapping[str, Any], plots: Plots) -> dict[str, Any]:
    histogram = tensor.get("histogram")
    plot = None
    if histogram and any(histogram["counts"]):
        plot = plots.histogram(
            [int(n) for n in histogram["counts"]],
            limit=float(histogram["max"]),
            amax=float(tensor["amax"]),
            observed_max=float(tensor["observed_max"]),
            label=f"activations of {tensor['name']}",
        )
    return {
        "name": tensor["name"],
        "plot": plot,
        "floored": bool(tensor.get("floored")),
        "amax": number(float(tensor["amax"])),
        "max": number(float(tensor["observed_max"])),
        "clipped": small_percent(float(tensor["clipped_share"])),
        "num_values": count(tensor["num_values"]) if tensor.get("num_values") else "",
    }
