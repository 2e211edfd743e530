"""Draw accuracy against the share of the work that is INT8."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from trtforge._optional import require

_NO_SIGNAL_DB = -999.0
_LINE, _TRIED, _CHOSEN = "#0072b2", "#8a97a3", "#c65f00"


def draw_frontier(search: Mapping[str, Any]) -> str:
    """Draw what a search tried: SNR, and where words were counted their errors, by share of INT8.

    Where choices were timed on a GPU, they stand by their time instead, with quartiles; one that could not be
    timed is left out. The same values give the same document.

    Parameters
    ----------
    search : what ``search.json`` holds.

    Returns
    -------
    An SVG document.
    """
    matplotlib = require("matplotlib", "draw the frontier")
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    assignment = search["assignment"]
    budget, words = assignment["budget"], assignment["score"]["words"] is not None
    settings = {"svg.hashsalt": "frontier", "svg.fonttype": "none", "font.size": 9}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(9.0 if words else 5.0, 3.2), layout="constrained")
        panels = figure.subplots(1, 2 if words else 1, squeeze=False)[0]
        search = _with_chosen_time(search)
        _panel(panels[0], search, _snr, "output SNR, dB", budget["snr_db"])
        if words:
            bound = budget["wer_increase"]
            bound = None if bound is None else 100 * bound
            _panel(panels[1], search, _increase, "WER increase, points", bound)
        figure.patch.set_facecolor("white")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), frameon=False)
        buffer = io.StringIO()
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _panel(axes: Any, search: Mapping[str, Any], value: Any, label: str, bound: float | None) -> None:
    is_timed = any("time" in x for x in search["frontier"])
    place = _time if is_timed else _share
    if line := _placed(search["frontier"], place, value):
        axes.plot(
            *zip(*line, strict=True), "o-", color=_LINE, markersize=3.5, linewidth=1.2, label="one by one"
        )
    if is_timed:
        _spread(axes, search["frontier"], value)
    if tried := _placed(search["refined"], place, value):
        axes.plot(*zip(*tried, strict=True), "x", color=_TRIED, markersize=4.5, label="taken back")
    chosen = search["assignment"]
    if at := _placed([chosen], place, value):
        axes.plot(*zip(*at, strict=True), "D", color=_CHOSEN, markersize=7, fillstyle="none", label="chosen")
    if bound is not None:
        axes.axhline(bound, color="#999999", linestyle="--", linewidth=0.8, label="budget")
    axes.set_xlabel("time, % of FP16" if is_timed else "work in INT8, % of multiply-accumulates")
    axes.set_ylabel(label)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _with_chosen_time(search: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the assignment the time of the point that it is."""
    chosen = search["assignment"]
    for point in (*search["frontier"], *search["refined"]):
        if "time" in point and (point["int8_share"], point["score"]) == (
            chosen["int8_share"],
            chosen["score"],
        ):
            return {**search, "assignment": {**chosen, "time": point["time"]}}
    return search


def _placed(points: Sequence[Mapping[str, Any]], place: Any, value: Any) -> list[tuple[float, float]]:
    found = [(place(point), value(point["score"])) for point in points]
    return [(x, y) for x, y in found if x is not None and y is not None]


def _spread(axes: Any, points: Sequence[Mapping[str, Any]], value: Any) -> None:
    for point in points:
        if _time(point) is not None and (y := value(point["score"])) is not None:
            ends = [100 * point["time"][end] for end in ("low", "high")]
            axes.plot(ends, [y, y], "-", color=_LINE, linewidth=0.8, alpha=0.6)


def _share(point: Mapping[str, Any]) -> float | None:
    return float(100 * point["int8_share"])


def _time(point: Mapping[str, Any]) -> float | None:
    ratio = point.get("time", {}).get("ratio")
    return None if ratio is None else float(100 * ratio)


def _snr(score: Mapping[str, Any]) -> float | None:
    # Where a network failed there is no number either.
    return None if score["snr_db"] is None or score["snr_db"] <= _NO_SIGNAL_DB else float(score["snr_db"])


def _increase(score: Mapping[str, Any]) -> float | None:
    words = score["words"]
    if words is None or not words["num_words"]:
        return None
    return float(100 * (words["errors"] - words["reference_errors"]) / words["num_words"])
