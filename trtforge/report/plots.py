"""Draw the page's plots as SVG that takes its colours and fonts from the page."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trtforge._optional import require
from trtforge.report.svg import inline_svg

# Stand-ins that never occur otherwise; the page's style sheet says what they look like, light or dark.
_VARIABLES = {
    "#010101": "var(--ink)",
    "#020202": "var(--muted)",
    "#030303": "var(--line)",
    "#040404": "var(--cut)",
    "#050500": "var(--runner-0)",
    "#050501": "var(--runner-1)",
    "#050502": "var(--runner-2)",
    "#050503": "var(--runner-3)",
}
INK, MUTED, LINE, CUT, *RUNNERS = _VARIABLES
_SETTINGS = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.usetex": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
}
_MAX_LABEL = 24


@dataclass(frozen=True)
class StratumRow:
    """One line of a stratum plot.

    Parameters
    ----------
    value : the stratum's value.
    rates : for each runner its rate as a fraction and the interval of it; None where there is none.
    """

    value: str
    rates: Sequence[tuple[float | None, Sequence[float] | None]]


@dataclass
class Plots:
    """Draws plots and numbers them, so that no two on a page share an id."""

    num_drawn: int = field(default=0, init=False)

    def strata(self, rows: Sequence[StratumRow], *, limit: float, average: float | None, label: str) -> str:
        """Draw rates as dots with intervals, one line for each value, in percent.

        Parameters
        ----------
        rows : from top to bottom.
        limit : end of the axis as a fraction, the same for all factors so that they compare.
        average : the reference runner's overall rate, drawn as a line through all.
        label : what the plot shows, for readers that cannot see it.
        """
        num_runners = max(len(row.rates) for row in rows)
        height = 0.5 + len(rows) * (0.16 + 0.13 * num_runners)

        def draw(figure: Any) -> None:
            # Margins in inches: the axes must line up from one factor to the next.
            axes = figure.add_axes((1.35 / 5.4, 0.42 / height, 3.95 / 5.4, 1 - 0.47 / height))
            offsets = (np.arange(num_runners) - (num_runners - 1) / 2) * 0.62 / max(2, num_runners)
            for line, row in enumerate(rows):
                for index, (rate, interval) in enumerate(row.rates):
                    color, y = RUNNERS[index % len(RUNNERS)], line + offsets[index]
                    if interval is not None:
                        axes.plot([100 * x for x in interval], [y, y], color=color, linewidth=1.6, alpha=0.55)
                    if rate is not None:
                        axes.plot([100 * rate], [y], marker="osD^"[index % 4], color=color, markersize=5)
            if average is not None:
                axes.axvline(100 * average, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)), zorder=0)
            axes.set_yticks(range(len(rows)), [shorten(row.value) for row in rows])
            axes.set_ylim(len(rows) - 0.5, -0.5)
            axes.set_xlim(0, max(100 * limit * 1.04, 1.0))
            axes.grid(axis="x")
            axes.set_axisbelow(True)
            axes.tick_params(length=0)
            axes.spines[["top", "right", "bottom"]].set_visible(False)
            axes.set_xlabel("WER, %")

        return self.render(draw, 5.4, height, label)

    def histogram(
        self, counts: Sequence[int], *, limit: float, amax: float, observed_max: float, label: str
    ) -> str:
        """Draw how often each magnitude occurred, on a logarithmic count axis.

        Parameters
        ----------
        counts : values in each of equally wide bins from 0 to ``limit``.
        limit : upper end of the last bin, in activation units.
        amax : chosen threshold; drawn as a line, with what lies beyond it shaded.
        observed_max : largest magnitude seen; drawn as a dotted line.
        label : what the plot shows, for readers that cannot see it.
        """

        def draw(figure: Any) -> None:
            axes = figure.add_axes((0.03, 0.2, 0.94, 0.76))
            edges = np.linspace(0, limit, len(counts) + 1)
            right = max(limit, amax, observed_max) * 1.02
            axes.stairs(
                np.log10(1 + np.asarray(counts, dtype=np.float64)), edges, fill=True, color=RUNNERS[0]
            )
            if amax < right:
                axes.axvspan(amax, right, color=CUT, alpha=0.14, linewidth=0)
            axes.axvline(observed_max, color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
            axes.axvline(amax, color=CUT, linewidth=1.6)
            axes.set_xlim(0, right)
            axes.set_ylim(0)
            axes.set_yticks([])
            axes.locator_params(axis="x", nbins=4)
            axes.tick_params(length=2, labelsize=8)
            axes.spines[["top", "right", "left"]].set_visible(False)

        return self.render(draw, 2.6, 1.25, label)

    def render(self, draw: Callable[[Any], None], width: float, height: float, label: str) -> str:
        """Draw a figure and return it as SVG that takes its colours and fonts from the page.

        Parameters
        ----------
        draw : called with a ``matplotlib.figure.Figure``; takes its colours from those of this module.
        width, height : in inches.
        label : what the plot shows, for readers that cannot see it.
        """
        matplotlib = require("matplotlib", "draw the report's plots")
        figures, backend = (
            require("matplotlib.figure", "draw"),
            require("matplotlib.backends.backend_svg", "draw"),
        )
        prefix = f"plot{self.num_drawn}"
        self.num_drawn += 1
        buffer = io.StringIO()
        with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": prefix}), warnings.catch_warnings():
            # The page's own fonts draw the text; what matplotlib's font lacks does not matter.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            figure = figures.Figure(figsize=(width, height))
            figure.patch.set_visible(False)
            draw(figure)
            for axes in figure.axes:
                axes.patch.set_visible(False)
            backend.FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
        return inline_svg(buffer.getvalue(), prefix=prefix, label=label, colors=_VARIABLES)


def shorten(text: str) -> str:
    """Put a label on one line and cut it to a length that fits beside a plot."""
    text = " ".join(text.split())
    return text if len(text) <= _MAX_LABEL else text[: _MAX_LABEL - 1] + "…"
