"""The generated part of the page on typed graphs: tables that only the benchmark's JSON feeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.origin import made_by, versions_of
from benchmarks.pages import sections, table
from trtforge.report.formatting import precision_name


def tables(result: Mapping[str, Any]) -> str:
    """Return the tables in Markdown: error, layers, engines, origin."""
    return sections(
        (
            ("Error of the outputs", _errors(result)),
            ("Layers and nodes", _layers(result)),
            ("Engines", _engines(result)),
            ("Made with", _origin(result)),
        )
    )


def _errors(result: Mapping[str, Any]) -> str:
    rows = [
        (
            row["network"],
            precision_name(row["precision"]),
            *_error(row["rounded"]),
            *_error(row["onnxruntime"]),
        )
        for row in result["rows"]
    ]
    heading = ("Network", "Type", "Rounded, dB", "Error", "Unrounded, dB", "Error")
    return table(heading, rows, right=4)


def _error(found: Mapping[str, float] | None) -> tuple[str, str]:
    if found is None:
        return "no kernels", ""
    return f"{found['snr_db']:.1f}", f"{100 * found['relative_error']:.3f} %"


def _layers(result: Mapping[str, Any]) -> str:
    rows = [
        (
            row["network"],
            precision_name(row["precision"]),
            " to ".join(map(str, dict.fromkeys(row["opset"]))),
            f"{row['num_layers_as_asked']} of {row['num_layers']}",
            f"{row['num_nodes_kept']} of {row['num_nodes']}",
            len(row["kept_by_data"]),
        )
        for row in result["rows"]
    ]
    heading = ("Network", "Type", "Opset", "Layers as asked", "Nodes kept in FP32", "of these by data")
    return table(heading, rows, right=4)


def _engines(result: Mapping[str, Any]) -> str:
    rows = []
    for row in result["rows"]:
        built = row["built"]
        if built is None:
            continue
        if "error" in built:
            rows.append(
                (row["network"], precision_name(row["precision"]), f"not built: {built['error']}", "", "")
            )
            continue
        counts = built["layer_precisions"] or {}
        told = ", ".join(f"{count} {precision_name(name)}" for name, count in counts.items())
        rows.append(
            (
                row["network"],
                precision_name(row["precision"]),
                told,
                f"{built['plan_bytes'] / 1e6:.1f}",
                f"{built['build_seconds']:.1f}",
            )
        )
    if not rows:
        return ""
    heading = ("Network", "Type", "Layers of the engine, by narrowest type read", "MB", "Seconds")
    return table(heading, rows, right=2)


def _origin(result: Mapping[str, Any]) -> str:
    run = result["run"]
    return (
        f"{made_by(run)}: {run['machine']['processor']}, {run['machine']['num_cpus']} cores; "
        f"{versions_of(run)}."
    )
