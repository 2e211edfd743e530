"""A result as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trtforge.bench import wording
from trtforge.bench.plots import throughput_panel
from trtforge.bench.table import left_out
from trtforge.errors import ReportError
from trtforge.report.html import render_template
from trtforge.report.plots import Plots

_COST_HEADING = ("build, s", "import, s", "load, s", "plan", "host memory", "GPU memory")


def render_page(result: Mapping[str, Any]) -> str:
    """Render a result as a page: a plot and tables for each network, and how it was measured.

    Raises
    ------
    ReportError : the values are damaged.
    MissingExtraError : jinja2 or matplotlib is not installed.
    """
    plots = Plots()
    try:
        networks = [_network(result, row, plots) for row in result["networks"]]
        values = {
            "title": "Speed, memory and accuracy",
            "lead": ", ".join(network["name"] for network in networks),
            "networks": networks,
            "left_out": left_out(result),
            "runs": [_run(run) for run in result["runs"]],
        }
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ReportError(f"the result is damaged: {error!r}") from error
    return render_template(Path(__file__).parent / "page.html", values)


def _network(result: Mapping[str, Any], about: Mapping[str, Any], plots: Plots) -> dict[str, Any]:
    name = about["network"]
    rows = [row for row in result["rows"] if row["network"] == name]
    contenders = {row["contender"]: row for row in result["contenders"] if row["network"] == name}
    has_gpu = any(row.get("device_ms") for row in rows)
    timed = [row for row in rows if "failed" not in row]
    shapes = dict.fromkeys((row["batch"], row["frames"]) for row in timed)
    return {
        "name": name,
        "about": " ".join(
            (about["about"], f"{about['num_parameters']:,} parameters; input: {about['inputs']}.")
        ),
        "plot": throughput_panel(plots, timed, label=f"throughput of {name}") if len(shapes) > 1 else "",
        "heading": (
            "p50, ms", "p95", "p99", "± rounds", "wall p50, ms", "clips/s", "RTFx",
            "host memory", *(("GPU memory", "J/clip") if has_gpu else ()), "SNR, dB", "WER, %",
        ),
        "shapes": [
            {
                "name": wording.shape({"batch": shape[0], "frames": shape[1]}),
                "rows": _rows(
                    [row for row in timed if (row["batch"], row["frames"]) == shape], contenders, has_gpu
                ),
            }
            for shape in shapes
        ],
        "cost_heading": _COST_HEADING,
        "costs": [
            {
                "name": wording.title(contender),
                "cells": (
                    wording.seconds(row.get("build_s")),
                    wording.seconds(row["import_s"]),
                    wording.seconds(row["load_s"]),
                    wording.size(row.get("plan_bytes")),
                    wording.size(row["host_bytes"]),
                    wording.size(row["device_bytes"]),
                ),
            }
            for contender, row in contenders.items()
            if "load_s" in row
        ],
    }  # fmt: skip


def _rows(
    rows: Sequence[Mapping[str, Any]], contenders: Mapping[str, Mapping[str, Any]], has_gpu: bool
) -> list[dict[str, Any]]:
    best = min(wording.latency(row)["p50"] for row in rows)
    made = []
    for row in rows:
        times, about = wording.latency(row), contenders[row["contender"]]
        on_gpu = (wording.size(row["device_bytes"]), wording.energy(row["energy_j"])) if has_gpu else ()
        cells = (
            *(wording.milliseconds(times[key]) for key in ("p50", "p95", "p99")),
            f"{100 * wording.spread(times['rounds']):.1f} %",
            wording.milliseconds(row["wall_ms"]["p50"]),
            wording.rate(row["rows_per_s"]["median"]),
            wording.rate(row["rtfx"]),
            wording.size(row["host_bytes"]),
            *on_gpu,
            wording.snr(about),
            wording.words(about),
        )
        made.append(
            {"name": wording.title(row["contender"]), "cells": cells, "is_best": times["p50"] == best}
        )
    return made


def _run(run: Mapping[str, Any]) -> dict[str, Any]:
    machine = run["machine"]
    return {
        "command": run["command"],
        "facts": [
            ("date", run["date"]),
            ("commit", run["commit"] or "unknown"),
            (
                "processor",
                f"{machine['num_cpus']} cores of {machine['processor']}, {machine['memory_gib']} GiB",
            ),
            ("GPU", ", ".join(machine["gpus"]) or "none"),
            *((key.replace("_", " "), str(value)) for key, value in run["gpu_limits"].items()),
            ("versions", ", ".join(f"{name} {version}" for name, version in run["versions"].items())),
            ("settings", ", ".join(f"{name} {value}" for name, value in run["config"].items())),
        ],
    }
