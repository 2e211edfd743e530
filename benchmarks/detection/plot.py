"""The plot of the docs page: share of runs that fail, and that pass, by number of clips."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

_COLORS = ("#5b6b7b", "#0072b2", "#00805a", "#8a5fb0", "#c65f00", "#b03060", "#7a5c2e")


def draw(result: Mapping[str, Any]) -> str:
    """Draw one panel of fails and one of passes; return an SVG document.

    The same values give the same document.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    rows = result["verdicts"]
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    sizes = sorted({int(row["num_clips"]) for row in rows})
    settings = {"svg.hashsalt": "detection", "svg.fonttype": "none", "font.size": 9}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(9.0, 3.5), layout="constrained")
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, verdict in zip(panels, ("fail", "pass"), strict=True):
            for index, kind in enumerate(kinds):
                own = [row for row in rows if row["kind"] == kind]
                axes.plot(
                    [row["num_clips"] for row in own],
                    [100 * row[verdict] / row["trials"] for row in own],
                    "--" if kind == "unchanged" else "-",
                    color=_COLORS[index % len(_COLORS)],
                    marker="os^vDxP"[index % 7],
                    markersize=4,
                    linewidth=1.4,
                    label=kind,
                )
            axes.set_title(f"runs that {verdict}, %", loc="left", fontsize=10, fontweight="bold")
            axes.set_xscale("log", base=2)
            axes.set_xticks(sizes, [str(size) for size in sizes])
            axes.minorticks_off()
            axes.set_ylim(-3, 103)
            axes.set_xlabel("clips")
            axes.grid(axis="y", color="#dddddd", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
        figure.patch.set_facecolor("white")
        buffer = io.StringIO()
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
