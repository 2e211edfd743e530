"""The generated part of the profile page: tables that only the benchmark's JSON feeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.origin import cores_of, versions_of
from benchmarks.pages import sections, table
from trtforge.report.waste import draw_waste


def tables(result: Mapping[str, Any]) -> str:
    """Return the tables in Markdown: padding by workload and way, planning time, the GPU, origin."""
    parts = (
        *((f"Padding: {row['name']}", _padding(result, row)) for row in result["workloads"]),
        ("Planning time", _times(result)),
        ("On a GPU", _gpu(result.get("gpu"))),
        ("Made with", _origin(result)),
    )
    return sections(parts)


def draw(result: Mapping[str, Any]) -> str:
    """Draw waste against the number of profiles, one panel a workload; return an SVG document."""
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for row in result["padding"]:
        if row["way"] != "one wide profile":
            curves = panels.setdefault(row["workload"], {})
            curves.setdefault(row["way"], []).append((row["num_profiles"], row["waste"]))
    return draw_waste(panels)


def _padding(result: Mapping[str, Any], workload: Mapping[str, Any]) -> str:
    rows = [row for row in result["padding"] if row["workload"] == workload["name"]]
    sizes = sorted({row["num_profiles"] for row in rows})
    found = {(row["way"], row["num_profiles"]): row["waste"] for row in rows}
    ways = dict.fromkeys(row["way"] for row in rows)
    cells = [(way, *(f"{100 * found[way, size]:.1f}" for size in sizes)) for way in ways]
    return (
        f"{workload['num_items']} lengths of {workload['min_frames']} to {workload['max_frames']} frames, "
        f"{workload['frames']} frames in all. Padding in percent of these:\n\n"
        + table(("Profiles", *map(str, sizes)), cells, right=len(sizes))
    )


def _times(result: Mapping[str, Any]) -> str:
    rows = [
        (row["workload"], row["num_lengths"], row["num_distinct"], f"{row['seconds']:.2f}")
        for row in result["times"]
    ]
    heading = ("Workload", "Lengths", "Distinct once aligned", "Seconds")
    return "Up to eight profiles, one process.\n\n" + table(heading, rows, right=3)


def _gpu(gpu: Mapping[str, Any] | None) -> str:
    if gpu is None:
        return "Not measured yet; `--gpu` of the same script does."
    speed = [
        (
            row["engine"],
            row["inputs"],
            row["batch"],
            f"{row['clips_per_s']:.0f}",
            f"{row['frames_per_s']:.0f}",
        )
        for row in gpu["throughput"]
    ]
    latency = [
        (
            row["frames"],
            row["batch"],
            f"{row['planned_ms']:.3f}",
            f"{row['single_ms']:.3f}",
            f"{_percent(row['ratio'])} ({_percent(row['ratio_least'])} to {_percent(row['ratio_most'])})",
        )
        for row in gpu["latency"]
    ]
    return "\n\n".join(
        (
            f"{gpu['gpu']}, TensorRT {gpu['tensorrt']}, FP16: {gpu['num_requests']} lengths of "
            f"{gpu['workload']}, {gpu['num_profiles']} planned profiles. Median of {gpu['turns']} turns.",
            table(("Engine", "Inputs", "Batch", "Clips a second", "Exact frames a second"), speed, right=3),
            "Median latency at each profile's tuned-for shape, against an engine built for that shape alone; "
            f"the two take {gpu['latency_turns']} turns of {gpu['calls_a_turn']} calls; the difference is "
            "the median of the turns', with their range:",
            table(("Frames", "Batch", "Planned, ms", "Single shape, ms", "Difference, %"), latency, right=5),
        )
    )


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f}"


def _origin(result: Mapping[str, Any]) -> str:
    run = result["run"]
    return "\n".join(
        (
            f"* `{run['command']}`",
            f"* {run['date']}, {cores_of(run['machine'])}",
            f"* {versions_of(run)}",
        )
    )
