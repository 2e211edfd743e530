"""Plots of a result: throughput by batch, one panel a network."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from trtforge._optional import require
from trtforge.bench import wording
from trtforge.report.plots import LINE, MUTED, RUNNERS, Plots

# Contender to its colour (an index), line and marker: what is of one library or number looks alike.
_LOOKS: dict[str, tuple[int, str, str]] = {
    "torch-eager-fp32": (0, ":", "o"),
    "torch-compiled-fp32": (0, "-.", "o"),
    "torch-eager-tf32": (0, ":", "v"),
    "torch-eager-fp16": (0, "--", "s"),
    "torch-compiled-fp16": (0, "-", "s"),
    "onnxruntime-fp32": (3, "--", "D"),
    "onnxruntime-int8": (3, "-", "D"),
    "tensorrt-fp32": (2, "--", "^"),
    "tensorrt-tf32": (2, "-", "^"),
    "tensorrt-fp16": (1, "--", "P"),
    "tensorrt-int8": (1, "-", "P"),
}
_PLAIN = (0, "-", "x")
_INK, _COLORS = "#dddddd", ("#5b6b7b", "#0072b2", "#c65f00", "#00805a")


def draw_throughput(result: Mapping[str, Any], *, columns: int = 3) -> str:
    """Draw clips a second against the batch, a panel for each network and length; return an SVG document.

    The same values give the same document. Bars span the rounds.

    Raises
    ------
    MissingExtraError : matplotlib is not installed.
    """
    matplotlib = require("matplotlib", "draw the plot")
    canvas = require("matplotlib.backends.backend_svg", "draw the plot").FigureCanvasSVG
    figure_type = require("matplotlib.figure", "draw the plot").Figure
    panels = _panels(result)
    columns = min(columns, len(panels))
    lines = -(-len(panels) // columns)
    with matplotlib.rc_context({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9}):
        figure = figure_type(figsize=(0.6 + 3.4 * columns, 1.1 + 2.7 * lines), layout="constrained")
        grid = figure.subplots(lines, columns, squeeze=False).flatten()
        for axes, (title, rows) in zip(grid, panels.items(), strict=False):
            _draw(axes, rows, _COLORS, _INK)
            axes.set_title(title, loc="left", fontsize=9.5, fontweight="bold")
        for axes in grid[::columns]:
            axes.set_ylabel("clips a second")
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        known = {
            label: handle
            for axes in grid
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            known.values(), known.keys(), loc="outside lower center", ncols=columns + 1, frameon=False
        )
        figure.patch.set_facecolor("white")
        buffer = io.StringIO()
        canvas(figure).print_svg(buffer, metadata={"Date": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def throughput_panel(plots: Plots, rows: Sequence[Mapping[str, Any]], *, label: str) -> str:
    """Draw one network's panel in the colours of the page."""

    def draw(figure: Any) -> None:
        axes = figure.add_axes((0.1, 0.15, 0.6, 0.81))
        _draw(axes, rows, RUNNERS, LINE)
        legend = axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.02), frameon=False, fontsize=8.5)
        for text in legend.get_texts():
            text.set_color(MUTED)
        axes.set_ylabel("clips a second")

    return plots.render(draw, 8.6, 3.0, label)


def _panels(result: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    timed = [row for row in result["rows"] if "failed" not in row]
    lengths = {
        row["network"]: {other["frames"] for other in timed if other["network"] == row["network"]}
        for row in timed
    }
    panels: dict[str, list[Mapping[str, Any]]] = {}
    for row in timed:
        several = len(lengths[row["network"]]) > 1
        title = f"{row['network']}, {row['frames']} frames" if several else row["network"]
        panels.setdefault(title, []).append(row)
    return panels


def _draw(axes: Any, rows: Sequence[Mapping[str, Any]], colors: Sequence[str], grid: str) -> None:
    for contender in dict.fromkeys(row["contender"] for row in rows):
        own = sorted((row for row in rows if row["contender"] == contender), key=lambda row: row["batch"])
        color, line, marker = _LOOKS.get(contender, _PLAIN)
        batches = [row["batch"] for row in own]
        rates = [row["rows_per_s"]["median"] for row in own]
        axes.plot(
            batches,
            rates,
            line,
            color=colors[color],
            marker=marker,
            markersize=4.5,
            linewidth=1.4,
            label=wording.title(contender),
        )
        axes.vlines(
            batches,
            [min(row["rows_per_s"]["rounds"]) for row in own],
            [max(row["rows_per_s"]["rounds"]) for row in own],
            color=colors[color],
            linewidth=2.2,
            alpha=0.5,
        )
    sizes = sorted({row["batch"] for row in rows})
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.xaxis.minorticks_off()
    # Plain numbers, and few of them: 1, 2, 5, 10, ...
    ticker = require("matplotlib.ticker", "draw the plot")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5), numticks=20))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.yaxis.minorticks_off()
    axes.grid(axis="y", color=grid, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("batch")
