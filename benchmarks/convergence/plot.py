"""The plot of the docs page: drift by number of clips, one panel for each method."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

_COLORS = {"stratified": "#0072b2", "random": "#c65f00", "clean": "#5b6b7b"}
_MARKERS = {"stratified": "s", "random": "D", "clean": "o"}
_LEAST = 0.1


def draw(result: Mapping[str, Any]) -> str:
    """Draw the median (solid) and the 99th percentile (dashed) of the drift; return an SVG document.

    The same values give the same document.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    drifts, limits = result["drifts"], result["limits"]
    methods = list(dict.fromkeys(row["method"] for row in drifts))
    orders = list(dict.fromkeys(row["order"] for row in drifts))
    ticks = sorted({int(row["num_clips"]) for row in drifts if row["order"] != "clean"})
    settings = {"svg.hashsalt": "convergence", "svg.fonttype": "none", "font.size": 9}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(9.0, 2.3 * -(-len(methods) // 2) + 0.6), layout="constrained")
        grid = figure.subplots(-(-len(methods) // 2), 2, sharex=True, sharey=True, squeeze=False)
        for axes, method in zip(grid.flat, methods, strict=False):
            for key, style in (("median", "-"), ("p99", "--")):
                axes.axhline(100 * limits[key], color="#999999", linestyle=style, linewidth=0.8)
                for order in orders:
                    rows = [row for row in drifts if (row["order"], row["method"]) == (order, method)]
                    axes.plot(
                        [row["num_clips"] for row in rows],
                        # No drift at all has no place on a logarithmic axis; the bottom stands for it.
                        [max(100 * row[key], _LEAST) for row in rows],
                        style,
                        color=_COLORS.get(order, "#00805a"),
                        marker=_MARKERS.get(order, "^"),
                        markersize=3.5,
                        linewidth=1.4,
                        label=order if key == "median" else None,
                    )
            axes.set_title(method, loc="left", fontsize=10, fontweight="bold")
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_ylim(_LEAST, 100)
            axes.set_xticks(ticks, [str(tick) for tick in ticks])
            axes.set_yticks([0.1, 1, 10, 100], ["≤0.1", "1", "10", "100"])
            axes.minorticks_off()
            axes.grid(axis="y", color="#dddddd", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        for axes in grid[-1]:
            axes.set_xlabel("clips")
        for axes in grid[:, 0]:
            axes.set_ylabel("drift, %")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), frameon=False)
        figure.patch.set_facecolor("white")
        buffer = io.StringIO()
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
