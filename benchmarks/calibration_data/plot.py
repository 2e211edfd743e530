"""The benchmark's picture: the increase of the word error rate overall, and by condition."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.calibration_data.measure import REFERENCE, candidate_name
from trtforge._optional import require

_INK, _MUTED, _LINE = "#1d2228", "#66707a", "#dfe2e5"
# Okabe and Ito's blue, vermilion and green, which readers with any colour vision tell apart.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
_WORSE, _BETTER = (0.70, 0.28, 0.0), (0.0, 0.35, 0.60)
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "calibration_data",
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": _INK,
    "grid.color": _LINE,
    "grid.linewidth": 0.7,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _INK,
}
# Least end of the colour scale, in points, so that noise is not painted as if it were much.
_MIN_SCALE = 5.0
# In inches.
_WIDTH, _LEFT, _RIGHT, _BOTTOM, _MARGIN = 8.2, 1.95, 0.15, 0.1, 0.12
_TOP, _GAP, _DOTS_ROW, _MAP_ROW = 0.65, 1.45, 0.5, 0.2
_MAX_LABEL = 22
_TITLE = "Increase of the word error rate by calibration data"


def draw(result: Mapping[str, Any]) -> str:
    """Return an SVG: dots with intervals for each data set and method, and below a map of the conditions.

    Parameters
    ----------
    result : what `benchmarks.calibration_data.measure.measure` returned.

    Raises
    ------
    MissingExtraError : matplotlib is not installed.
    """
    matplotlib = require("matplotlib", "draw the benchmark's plot")
    figures = require("matplotlib.figure", "draw the benchmark's plot")
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for row in result["rates"]:
        groups.setdefault((row["factor"], row["value"]), {})[row["runner"]] = row
    overall = groups.pop(("overall", "all"))
    dots = _DOTS_ROW * len(result["sources"])
    cells = _MAP_ROW * (len(groups) + 0.5 * len({factor for factor, _ in groups}))
    height = _TOP + dots + _GAP + cells + _BOTTOM
    left, width = _LEFT / _WIDTH, (_WIDTH - _LEFT - _RIGHT) / _WIDTH
    buffer = io.StringIO()
    with matplotlib.rc_context(_SETTINGS):
        figure = figures.Figure(figsize=(_WIDTH, height), facecolor="white")
        _dots(figure.add_axes((left, 1 - (_TOP + dots) / height, width, dots / height)), result, overall)
        _map(figure.add_axes((left, _BOTTOM / height, width, cells / height)), result, groups)
        whole = overall[REFERENCE]
        _head(
            figure,
            height - 0.2,
            "All test clips",
            f"points of WER over FP32, which has {100 * whole['wer']:.1f} %; bars are 95 % intervals",
        )
        _head(
            figure,
            _BOTTOM + cells + 0.7,
            "By condition",
            f"the same for {result['methods'][0]}; bold where the interval excludes zero",
        )
        figure.savefig(buffer, format="svg", metadata={"Title": _TITLE, "Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _head(figure: Any, y: float, title: str, note: str) -> None:
    y /= figure.get_figheight()
    figure.text(_MARGIN / _WIDTH, y, title, fontsize=10.5, fontweight="bold", va="center_baseline")
    figure.text(_LEFT / _WIDTH, y, note, color=_MUTED, va="center_baseline")


def _dots(axes: Any, result: Mapping[str, Any], overall: Mapping[str, Any]) -> None:
    sources, methods = result["sources"], result["methods"]
    offsets = (np.arange(len(methods)) - (len(methods) - 1) / 2) * 0.22
    for index, method in enumerate(methods):
        color, marker = _COLORS[index % len(_COLORS)], "osD^"[index % 4]
        for line, source in enumerate(sources):
            row, y = overall[candidate_name(source["key"], method)], line + offsets[index]
            if row["increase_interval"]:
                ends = [100 * end for end in row["increase_interval"]]
                axes.plot(ends, [y, y], color=color, alpha=0.55, linewidth=2)
            label = method if line == 0 else None
            axes.plot([100 * row["increase"]], [y], marker, markersize=5, color=color, label=label)
    axes.axvline(0, color=_MUTED, linewidth=1, zorder=1)
    names = [f"{source['label']}\n{_clips(source['num_clips'])}" for source in sources]
    axes.set_yticks(range(len(sources)), names)
    axes.set_ylim(len(sources) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(_signed)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.legend(
        ncols=len(methods),
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(0, 0.98),
        borderaxespad=0,
        handletextpad=0.2,
        columnspacing=1.4,
    )


def _map(axes: Any, result: Mapping[str, Any], groups: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
    sources, method = result["sources"], result["methods"][0]
    found = {
        group: [rows[candidate_name(source["key"], method)] for source in sources]
        for group, rows in groups.items()
    }
    limit = max([_MIN_SCALE, *(abs(100 * row["increase"]) for rows in found.values() for row in rows)])
    place, places, last = -0.5, [], None
    for (factor, _), rows in found.items():
        if factor != last:
            place, last = place + 0.5, factor
            axes.annotate(
                factor,
                (0, place),
                (72 * (_MARGIN - _LEFT), 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center_baseline",
                color=_MUTED,
            )
        for column, row in enumerate(rows):
            _cell(axes, column, place, row, limit)
        places.append(place)
        place += 1
    axes.set_xlim(-0.5, len(sources) - 0.5)
    axes.set_ylim(place - 0.5, -0.5)
    axes.set_yticks(places, [_shorten(value) for _, value in found])
    axes.set_xticks(range(len(sources)), [source["label"].replace(", ", ",\n") for source in sources])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.tick_params(axis="x", labelcolor=_INK, labelsize=8.5)
    axes.spines[:].set_visible(False)


def _cell(axes: Any, column: int, y: float, row: Mapping[str, Any], limit: float) -> None:
    patches = require("matplotlib.patches", "draw the benchmark's plot")
    points, interval = 100 * row["increase"], row["increase_interval"]
    full = np.array(_WORSE if points > 0 else _BETTER)
    color = 1 - (1 - full) * min(1.0, abs(points) / limit)
    axes.add_patch(patches.Rectangle((column - 0.485, y - 0.46), 0.97, 0.92, facecolor=tuple(color)))
    clear = interval is not None and (interval[0] > 0 or interval[1] < 0)
    axes.text(
        column,
        y,
        _signed(points),
        ha="center",
        va="center_baseline",
        fontsize=8,
        color="white" if color @ (0.2126, 0.7152, 0.0722) < 0.5 else _INK,
        fontweight="bold" if clear else "normal",
    )


def _signed(points: float, position: int | None = None) -> str:
    """Write points with their sign; also as matplotlib asks a formatter, for a tick at ``position``."""
    form = "+.1f" if position is None else "+g"
    text = f"{points:{form}}".replace("-", "\N{MINUS SIGN}")
    return text[1:] if float(f"{points:.1f}") == 0 else text


def _clips(count: int) -> str:
    return f"{count} clip" if count == 1 else f"{count} clips"


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_LABEL else text[: _MAX_LABEL - 1] + "…"
