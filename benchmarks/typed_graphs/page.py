"""The generated part of the page on typed graphs: tables that only the benchmark's JSON feeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from benchmarks.origin import made_by, versions_of
from benchmarks.pages import sections, table
from benchmarks.typed_graphs.measure import HALF
from trtforge.report.formatting import precision_name

Row: TypeAlias = Mapping[str, Any]

_NARROW = (
    "The rest is FP16. Ranges are those of `entropy`, narrow weights are in blocks of 64, and the error is "
    "unrounded. *The engine* is what the manifest counts of the network's layers."
)


def tables(result: Mapping[str, Any]) -> str:
    """Return the tables in Markdown: error, layers, engines, narrower types, origin."""
    half = [row for row in result["rows"] if row["precision"] in HALF]
    return sections(
        (
            ("Error of the outputs", _errors(half)),
            ("Layers and nodes", _layers(half)),
            ("Engines", _engines(half)),
            ("INT8, FP8 and narrow weights", _narrow(result["rows"])),
            ("Made with", _origin(result)),
        )
    )


def _errors(measured: Sequence[Row]) -> str:
    rows = [
        (
            row["network"],
            precision_name(row["precision"]),
            *_error(row["rounded"]),
            *_error(row["onnxruntime"]),
        )
        for row in measured
    ]
    heading = ("Network", "Type", "Rounded, dB", "Error", "Unrounded, dB", "Error")
    return table(heading, rows, right=4)


def _error(found: Mapping[str, float] | None) -> tuple[str, str]:
    if found is None:
        return "no kernels", ""
    return f"{found['snr_db']:.1f}", f"{100 * found['relative_error']:.3f} %"


def _layers(measured: Sequence[Row]) -> str:
    rows = [
        (
            row["network"],
            precision_name(row["precision"]),
            " to ".join(map(str, dict.fromkeys(row["opset"]))),
            f"{row['num_layers_as_asked']} of {row['num_layers']}",
            f"{row['num_nodes_kept']} of {row['num_nodes']}",
            len(row["kept_by_data"]),
        )
        for row in measured
    ]
    heading = ("Network", "Type", "Opset", "Layers as asked", "Nodes kept in FP32", "of these by data")
    return table(heading, rows, right=4)


def _engines(measured: Sequence[Row]) -> str:
    rows = []
    for row in measured:
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


def _narrow(measured: Sequence[Row]) -> str:
    rows = []
    for row in measured:
        if row["precision"] in HALF:
            continue
        named = (row["network"], precision_name(row["precision"]))
        if "refused" in row:
            rows.append((*named, f"not made: {row['refused'].partition(':')[0]}", "", "", "", ""))
            continue
        built = row["built"]
        if built is None:
            engine = ""
        else:
            engine = f"not built: {built['error']}" if "error" in built else built["proof"]
        reasons = Counter(row["layers_kept"].values())
        rows.append(
            (
                *named,
                "; ".join(f"{count}: {reason}" for reason, count in reasons.items()),
                engine,
                f"{row['num_layers_as_asked']} of {row['num_layers']}",
                *_error(row["onnxruntime"]),
            )
        )
    if not rows:
        return ""
    heading = ("Network", "Type", "Layers left in FP16", "The engine", "Layers in it", "SNR, dB", "Error")
    return f"{_NARROW}\n\n{table(heading, rows, right=3)}"


def _origin(result: Mapping[str, Any]) -> str:
    run = result["run"]
    return (
        f"{made_by(run)}: {run['machine']['processor']}, {run['machine']['num_cpus']} cores; "
        f"{versions_of(run)}."
    )
