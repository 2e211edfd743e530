"""Draw what the dashboard's panels show, from a running Prometheus, where there is no Grafana.

python -m benchmarks.serving.draw_panels --prometheus http://127.0.0.1:9090 --minutes 5 -o panels.png
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trtforge._optional import require
from trtforge.serving.monitoring import PANELS, Panel

_COLUMNS, _POINTS = 4, 150


def main(argv: Sequence[str] | None = None) -> int:
    """Ask, draw, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.draw_panels")
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--rate-interval", default="10s", help="what $__rate_interval stands for")
    parser.add_argument("-o", "--output", type=Path, default=Path("panels.png"))
    args = parser.parse_args(argv)
    pyplot = require("matplotlib.pyplot", "draw panels")
    rows = math.ceil(len(PANELS) / _COLUMNS)
    figure, axes = pyplot.subplots(rows, _COLUMNS, figsize=(5.5 * _COLUMNS, 3 * rows), layout="constrained")
    end = time.time()
    for axis, panel in zip(axes.flat, PANELS, strict=False):
        axis.set_title(panel.title, fontsize=9)
        draw(axis, panel, args.prometheus, end - 60 * args.minutes, end, args.rate_interval)
    figure.savefig(args.output, dpi=80)
    return 0


def draw(axis: Any, panel: Panel, url: str, begin: float, end: float, rate_interval: str) -> None:
    """Draw one panel."""
    step = max(1.0, (end - begin) / _POINTS)
    series: list[tuple[str, list[float], list[float]]] = []
    for query in panel.queries:
        expression = query.expression.replace("$__rate_interval", rate_interval).replace("$pipeline", ".*")
        for found in _ask(url, expression, begin, end, step):
            label = query.legend
            for name, value in found["metric"].items():
                label = label.replace(f"{{{{{name}}}}}", value)
            times = [float(when) - begin for when, _ in found["values"]]
            series.append((label, times, [float(value) for _, value in found["values"]]))
            if panel.kind == "table":
                told = "\n".join(f"{name} {value}" for name, value in sorted(found["metric"].items()))
                axis.text(0.05, 0.9, told, va="top", fontsize=8)
    if not series:
        axis.text(0.5, 0.5, "no data", ha="center", color="grey")
    elif panel.kind == "heatmap":
        _heatmap(axis, series)
    elif panel.kind != "table":
        for label, times, values in series:
            axis.plot(times, values, label=label, drawstyle="steps-post", linewidth=1)
        axis.legend(fontsize=6, loc="upper left")
        axis.set_ylim(bottom=0)
    axis.tick_params(labelsize=6)


def _heatmap(axis: Any, series: Sequence[tuple[str, list[float], list[float]]]) -> None:
    """Draw how many fell between two bounds, from counts up to each bound."""
    ordered = sorted(series, key=lambda each: float(each[0]))
    times = sorted({when for _, each, _ in ordered for when in each})
    counts = np.zeros((len(ordered), len(times)))
    for row, (_, when, values) in enumerate(ordered):
        known = dict(zip(when, values, strict=True))
        counts[row] = [known.get(each, 0.0) for each in times]
    between = np.diff(counts, axis=0, prepend=0.0)
    axis.pcolormesh(times, range(len(ordered)), between, cmap="Oranges", shading="nearest")
    axis.set_yticks(
        range(0, len(ordered), 2), [f"{float(ordered[i][0]):g}" for i in range(0, len(ordered), 2)]
    )


def _ask(url: str, expression: str, begin: float, end: float, step: float) -> list[Mapping[str, Any]]:
    arguments = urllib.parse.urlencode({"query": expression, "start": begin, "end": end, "step": step})
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{arguments}", timeout=20) as answer:  # noqa: S310
        return list(json.load(answer)["data"]["result"])


if __name__ == "__main__":
    sys.exit(main())
