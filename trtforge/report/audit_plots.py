"""The plots of an audit: drift by number of clips, and what each stratum does to each threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from trtforge._optional import require
from trtforge.report.plots import CUT, LINE, MUTED, RUNNERS, Plots, shorten

# A change of this size is drawn in full colour.
FULL_CHANGE = 0.3
_MARKERS = "osD^"


@dataclass(frozen=True)
class Curve:
    """Drift of one order and method.

    Parameters
    ----------
    color : 0 to 3, an index of the page's colours.
    sizes : numbers of clips.
    median, p99 : drifts as fractions, one for each size.
    """

    color: int
    sizes: Sequence[int]
    median: Sequence[float]
    p99: Sequence[float]


def drift_plot(
    plots: Plots, curves: Sequence[Curve], *, ticks: Sequence[int], limits: Sequence[float], label: str
) -> str:
    """Draw medians as lines and 99th percentiles as dashed lines over the number of clips.

    Parameters
    ----------
    plots : numbers the drawings of the page.
    curves : of one method.
    ticks : numbers of clips to write on the axis.
    limits : drifts, as fractions, that are enough for the median and the 99th percentile.
    label : what the plot shows, for readers that cannot see it.
    """

    def draw(figure: Any) -> None:
        axes = figure.add_axes((0.14, 0.15, 0.83, 0.81))
        for limit, style in zip(limits, ("solid", (0, (4, 3))), strict=True):
            axes.axhline(100 * limit, color=MUTED, linewidth=0.9, linestyle=style, alpha=0.8)
        for curve in curves:
            color = RUNNERS[curve.color % len(RUNNERS)]
            for values, style, alpha in ((curve.p99, (0, (4, 3)), 0.75), (curve.median, "solid", 1.0)):
                # A drift of exactly zero has no place on a logarithmic axis; the bottom stands for it.
                axes.plot(
                    curve.sizes,
                    [max(100 * value, 0.1) for value in values],
                    color=color,
                    linestyle=style,
                    alpha=alpha,
                    linewidth=1.5,
                    marker=_MARKERS[curve.color % len(_MARKERS)],
                    markersize=3.5,
                )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_ylim(0.1, 100)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_yticks([0.1, 1, 10, 100], ["≤0.1", "1", "10", "100"])
        axes.minorticks_off()
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.tick_params(length=2)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("clips")
        axes.set_ylabel("drift, %")

    return plots.render(draw, 4.2, 2.7, label)


def influence_plot(
    plots: Plots,
    changes: Mapping[str, Mapping[tuple[str, str], float]],
    *,
    framed: Set[tuple[str, str, str]],
    label: str,
) -> str:
    """Draw a grid of tensors by strata; a cell is the stronger, the more the threshold changes without it.

    Parameters
    ----------
    plots : numbers the drawings of the page.
    changes : tensor to stratum (factor and value, factors together) to relative change.
    framed : tensor, factor and value of the cells that are framed.
    label : what the plot shows, for readers that cannot see it.
    """
    tensors = list(changes)
    strata = list(dict.fromkeys(stratum for row in changes.values() for stratum in row))
    groups = [(factor, len(list(group))) for factor, group in groupby(strata, key=lambda item: item[0])]
    # In inches: a cell is as high as a line of text.
    cell, left, top, bottom = 0.19, 1.9, 0.25, 1.0
    width, height = 11.0, top + bottom + cell * len(tensors)

    def draw(figure: Any) -> None:
        patches = require("matplotlib.patches", "draw the report's plots")
        axes = figure.add_axes(
            (left / width, bottom / height, 1 - (left + 0.05) / width, cell * len(tensors) / height)
        )
        for row, tensor in enumerate(tensors):
            for column, stratum in enumerate(strata):
                change = changes[tensor].get(stratum, 0.0)
                color = RUNNERS[1] if change > 0 else CUT
                axes.add_patch(
                    patches.Rectangle(
                        (column + 0.06, row + 0.08),
                        0.88,
                        0.84,
                        facecolor=color,
                        alpha=min(abs(change) / FULL_CHANGE, 1.0),
                        linewidth=0,
                    )
                )
                if (tensor, *stratum) in framed:
                    axes.add_patch(
                        patches.Rectangle(
                            (column + 0.06, row + 0.08), 0.88, 0.84, fill=False, edgecolor=color, linewidth=1
                        )
                    )
        start = 0
        for factor, size in groups:
            axes.text(
                start + size / 2, -0.35, shorten(factor), ha="center", va="bottom", color=MUTED, fontsize=8
            )
            start += size
            axes.axvline(start, color=LINE, linewidth=0.8)
        axes.set_xlim(0, len(strata))
        axes.set_ylim(len(tensors), 0)
        axes.set_xticks(
            [column + 0.5 for column in range(len(strata))],
            [shorten(value) for _, value in strata],
            rotation=90,
            fontsize=8,
        )
        axes.set_yticks(
            [row + 0.5 for row in range(len(tensors))], [shorten(tensor) for tensor in tensors], fontsize=8
        )
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)

    return plots.render(draw, width, height, label)
