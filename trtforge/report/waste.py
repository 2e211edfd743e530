"""The plot of what padding wastes against the number of profiles."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from trtforge._optional import require

_STYLES = (("#0072b2", "o"), ("#c65f00", "s"), ("#5b6b7b", "D"), ("#00805a", "^"))


def draw_waste(
    panels: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]], *, chosen: int | None = None
) -> str:
    """Draw curves of waste, one panel a workload, on a common scale; return an SVG document.

    The same values give the same document.

    Parameters
    ----------
    panels : title to curves; each curve's name to its points (number of profiles, waste as a share).
    chosen : number of profiles to mark, or None.

    Raises
    ------
    MissingExtraError : matplotlib is not installed.
    """
    matplotlib = require("matplotlib", "draw the plot")
    canvas = require("matplotlib.backends.backend_svg", "draw the plot").FigureCanvasSVG
    figure_type = require("matplotlib.figure", "draw the plot").Figure
    with matplotlib.rc_context({"svg.hashsalt": "waste", "svg.fonttype": "none", "font.size": 9}):
        figure = figure_type(figsize=(1.2 + 3.9 * len(panels), 3.2), layout="constrained")
        grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (title, curves) in zip(grid, panels.items(), strict=True):
            for index, (name, points) in enumerate(curves.items()):
                color, marker = _STYLES[index % len(_STYLES)]
                axes.plot(
                    [at for at, _ in points],
                    [100 * waste for _, waste in points],
                    color=color,
                    marker=marker,
                    markersize=3.5,
                    linewidth=1.4,
                    label=name,
                )
            if chosen is not None:
                axes.axvline(chosen, color="#999999", linestyle="--", linewidth=0.8)
            axes.axhline(10, color="#999999", linestyle=":", linewidth=0.8)
            axes.set_yscale("symlog", linthresh=1)
            axes.set_ylim(bottom=0)
            axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
            axes.set_xticks(sorted({at for points in curves.values() for at, _ in points}))
            axes.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100"])
            axes.minorticks_off()
            axes.grid(axis="y", color="#dddddd", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_xlabel("profiles")
        grid[0].set_ylabel("padding, % of exact work")
        names = grid[0].get_legend_handles_labels()
        figure.legend(*names, loc="outside upper right", ncols=len(names[1]), frameon=False)
        figure.patch.set_facecolor("white")
        buffer = io.StringIO()
        canvas(figure).print_svg(buffer, metadata={"Date": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
