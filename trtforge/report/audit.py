"""The audit part of the page: what the calibration set lacks, and whether it is large enough."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trtforge.report.audit_plots import Curve, drift_plot, influence_plot
from trtforge.report.formatting import count, number, percent, plural, points, small_percent
from trtforge.report.plots import Plots
from trtforge.units import format_level

_NUM_SHOWN = 12
_NUM_ROWS = 30
# Stratified in the strongest colour, clean in the grey of a reference.
_COLORS = {"stratified": 1, "random": 2, "clean": 0}


def audit_section(report: Mapping[str, Any], plots: Plots) -> dict[str, Any] | None:
    """Return the verdicts, the plots of convergence and influence, and tables of what was found."""
    audit = report.get("audit")
    if not audit:
        return None
    limit = float(audit["max_change"])
    deciding = _deciding(audit["influences"], limit)
    rejected = audit["rejected"]
    return {
        "clips": plural(audit["num_clips"], "clip"),
        "method": audit["method"],
        "tiles": _tiles(audit, len(deciding)),
        "convergence": _convergence(audit.get("convergence"), plots),
        "influence": _influence(audit["influences"], limit, plots),
        "limit": percent(limit, 0),
        "deciding": [
            {
                "tensor": row["tensor"],
                "stratum": f"{row['factor']} {row['value']}",
                "clips": count(row["num_clips"]),
                "amax": number(row["amax"]),
                "without": number(row["amax_without"]),
                "change": points(_change(row)),
                "chance": percent(row["by_chance"]).removesuffix(" %"),
            }
            for row in deciding
        ],
        "min_clips": audit["coverage"]["min_clips"],
        "cells": _fold(
            [
                {"strata": _names(cell), "clips": count(cell["num_clips"])}
                for cell in audit["coverage"]["cells"]
            ]
        ),
        "aliases": [
            f"{_names(alias)}: the same {plural(alias['num_clips'], 'clip')}"
            for alias in audit["coverage"]["aliases"]
        ],
        "max_clipped": small_percent(float(audit["max_clipped_share"])),
        "saturations": _fold(
            [
                {
                    "id": row["clip_id"],
                    "tensor": row["tensor"],
                    "share": small_percent(float(row["clipped_share"])),
                    "overall": small_percent(float(row["overall_share"])),
                    "tensors": count(row["num_tensors"]),
                }
                for row in audit["saturations"]
            ]
        ),
        "quiet": [
            {"id": clip, "level": format_level(float(peak))}
            for clip, peak in (audit.get("quiet") or {}).items()
        ],
        "rejected": [{"id": clip, "reason": reason} for clip, reason in rejected.items()],
    }


def _tiles(audit: Mapping[str, Any], num_deciding: int) -> list[dict[str, str]]:
    cover = audit["coverage"]
    cells = sum(int(pair["num_cells"]) for pair in cover["pairs"])
    tensors = len({row["tensor"] for row in audit["influences"]})
    tiles = [
        {
            "label": "Combinations that lack clips",
            "value": f"{count(len(cover['cells']))} of {count(cells)}",
            "note": f"of two strata; fewer than {plural(cover['min_clips'], 'clip')}",
        },
        {
            "label": "Thresholds one stratum decides",
            "value": f"{count(num_deciding)} of {count(tensors)}",
            "note": f"change by more than {percent(float(audit['max_change']), 0)} without it",
        },
        {
            "label": "Clips that saturate",
            "value": f"{count(len(audit['saturations']))} of {count(audit['num_clips'])}",
            "note": f"more than {small_percent(float(audit['max_clipped_share']))} of a tensor clipped",
        },
    ]
    if audit.get("convergence"):
        value, note = _best(_enough(audit["convergence"]), audit)
        tiles.append({"label": "Enough clips", "value": value, "note": note})
    return tiles


def _best(enough: Mapping[tuple[str, str], int | None], audit: Mapping[str, Any]) -> tuple[str, str]:
    for order in ("stratified", "random"):
        if (order, audit["method"]) in enough:
            best = enough[order, audit["method"]]
            value = "not reached" if best is None else count(best)
            return value, f"{audit['method']}, taken in {order} order"
    return "cannot be told", f"{plural(audit['num_clips'], 'clip')} are too few to tell drift"


def _deciding(influences: Sequence[Mapping[str, Any]], limit: float) -> list[Mapping[str, Any]]:
    first: dict[str, Mapping[str, Any]] = {}
    for row in influences:
        if _decides(row, limit):
            first.setdefault(row["tensor"], row)
    return list(first.values())


def _influence(influences: Sequence[Mapping[str, Any]], limit: float, plots: Plots) -> dict[str, Any] | None:
    if not influences:
        return None
    # The rows come with the largest change first, so the tensors do, too; strata by factor and name.
    changes: dict[str, dict[tuple[str, str], float]] = {}
    for row in influences:
        changes.setdefault(row["tensor"], {})[(row["factor"], row["value"])] = _change(row)
    framed = {(row["tensor"], row["factor"], row["value"]) for row in influences if _decides(row, limit)}
    shown = {
        tensor: dict(sorted(values.items(), key=_stratum_order))
        for tensor, values in list(changes.items())[:_NUM_ROWS]
    }
    label = "change of each threshold when a stratum is left out"
    return {
        "plot": influence_plot(plots, shown, framed=framed, label=label),
        "left_out": len(changes) - len(shown),
    }


def _convergence(grown: Mapping[str, Any] | None, plots: Plots) -> dict[str, Any] | None:
    if not grown or not grown["drifts"]:
        return None
    drifts = grown["drifts"]
    orders = list(dict.fromkeys(drift["order"] for drift in drifts))
    methods = list(dict.fromkeys(drift["method"] for drift in drifts))
    enough = _enough(grown)
    limits = (float(grown["max_median"]), float(grown["max_p99"]))
    # The number of clean clips is as it happens to be, and no power of two.
    ticks = sorted(
        {int(drift["num_clips"]) for drift in drifts if drift["order"] != "clean" or len(orders) == 1}
    )
    panels = []
    for method in methods:
        curves = []
        for order in orders:
            rows = [drift for drift in drifts if (drift["order"], drift["method"]) == (order, method)]
            curves.append(
                Curve(
                    _color(order),
                    *([row[key] for row in rows] for key in ("num_clips", "median", "p99")),
                )
            )
        panels.append(
            {
                "method": method,
                "plot": drift_plot(
                    plots, curves, ticks=ticks, limits=limits, label=f"drift by clips, {method}"
                ),
                "enough": [
                    {"order": order, "text": _enough_text(enough[order, method], _largest(drifts, order))}
                    for order in orders
                ],
            }
        )
    runs = {drift["order"]: int(drift["num_orders"]) for drift in drifts}
    return {
        "panels": panels,
        "orders": [{"name": order, "color": _color(order)} for order in orders],
        "runs": ", ".join(f"{order} {runs[order]}" for order in orders),
        "clips": plural(grown["num_clips"], "clip"),
        "max_median": f"{100 * limits[0]:g} %",
        "max_p99": f"{100 * limits[1]:g} %",
    }


def _enough(grown: Mapping[str, Any] | None) -> dict[tuple[str, str], int | None]:
    return {(row["order"], row["method"]): row["num_clips"] for row in (grown or {}).get("enough", [])}


def _enough_text(num_clips: int | None, largest: int) -> str:
    return f"not within {count(largest)}" if num_clips is None else count(num_clips)


def _largest(drifts: Sequence[Mapping[str, Any]], order: str) -> int:
    return max(int(drift["num_clips"]) for drift in drifts if drift["order"] == order)


def _color(order: str) -> int:
    return _COLORS.get(order, 3)


def _change(row: Mapping[str, Any]) -> float:
    return float(row["amax_without"]) / float(row["amax"]) - 1


def _decides(row: Mapping[str, Any], limit: float) -> bool:
    return abs(_change(row)) > max(limit, float(row["by_chance"]))


def _stratum_order(item: tuple[tuple[str, str], float]) -> tuple[str, bool, float, str]:
    # Numbers by size, before words.
    (factor, value), _ = item
    number = float(value) if re.fullmatch(r"-?\d{1,9}(\.\d{1,9})?", value) else None
    return factor, number is None, number or 0.0, value


def _names(cell: Mapping[str, Any]) -> str:
    return " and ".join(
        f"{factor} {value}" for factor, value in zip(cell["factors"], cell["values"], strict=True)
    )


def _fold(rows: list[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    return {"shown": rows[:_NUM_SHOWN], "folded": rows[_NUM_SHOWN:]}
