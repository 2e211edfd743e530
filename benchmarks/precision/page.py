"""The generated part of the page on the fastest precision: tables that only the benchmark's JSON feeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.origin import gpus_of, made_by, versions_of
from benchmarks.pages import sections, table


def tables(result: Mapping[str, Any]) -> str:
    """Return the tables in Markdown: of each network times, proofs and what was tried; origin."""
    parts = [part for row in result["networks"] for part in _network(row)]
    return sections((*parts, ("Made with", _origin(result))))


def _network(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    title = f"{row['title'][0].upper()}{row['title'][1:]}"
    reason = row["story"]["reason"]
    reason = f"{reason[0].upper()}{reason[1:]}."
    return [
        (f"{title}: time by that of FP16", "\n\n".join((_times(row), reason, *_untimed(row)))),
        (f"{title}: precision asked and got", _proofs(row)),
        (f"{title}: what was tried", _tried(row)),
    ]


def _times(row: Mapping[str, Any]) -> str:
    rows = [
        (
            time["batch"],
            time["frames"],
            time["engine"],
            f"{time['median_ms']:.3f}",
            f"{time['p5_ms']:.3f} to {time['p95_ms']:.3f}",
            f"{time['speed_against_fp16']:.2f}",
        )
        for time in row["times"]
    ]
    return table(
        ("Batch", "Frames", "Engine", "Median, ms", "5 to 95 %, ms", "Speed, FP16 = 1"), rows, right=3
    )


def _untimed(row: Mapping[str, Any]) -> list[str]:
    return [f"Batch {batch} could not be timed: {reason}" for batch, reason in row.get("untimed", {}).items()]


def _proofs(row: Mapping[str, Any]) -> str:
    rows = []
    for built in row["built"]:
        proof = built["proof"]
        fell = ", ".join(f"`{name}`" for name in built["fell_back"][:4])
        more = f" and {len(built['fell_back']) - 4} more" if len(built["fell_back"]) > 4 else ""
        rows.append(
            (
                built["engine"],
                proof["delivered"],
                proof["fell_back"],
                proof["unknown"],
                f"{built['build_seconds']:.0f}",
                fell + more,
            )
        )
    heading = ("Engine", "As asked", "Fell back", "Not told", "Build, s", "Those that fell back")
    return table(heading, rows, right=5)


def _tried(row: Mapping[str, Any]) -> str:
    rows = []
    for trial in row["story"]["tried"]:
        if trial["error"] is not None:
            rows.append((trial["way"], "not built", trial["error"].replace("|", "/")))
            continue
        spread = "; ".join(
            f"{shape}: {median:.3f} ({low:.3f} to {high:.3f})"
            for shape, (low, median, high) in trial["shapes"].items()
        )
        rows.append((trial["way"], f"{trial['ratio']:.3f}", spread))
    return table(("Way", "Time by FP16", "Median and quartiles, or the error"), rows, right=1)


def _origin(result: Mapping[str, Any]) -> str:
    lines = []
    for row in result["networks"]:
        run = row["run"]
        lines.append(f"* {made_by(run)}, on {gpus_of(run['machine'])}; {versions_of(run)}")
    return "\n".join(lines)
