"""The generated part of the docs page: tables that only the benchmark's JSON feeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.origin import cores_of, versions_of
from benchmarks.pages import sections, table


def tables(result: Mapping[str, Any]) -> str:
    """Return the tables in Markdown: the answer, drift by number of clips, the worst tensors, origin."""
    parts = (
        ("Enough", _enough(result)),
        ("Drift", _drift(result)),
        ("The tensor that drifts most", _worst(result)),
        ("Made with", _origin(result)),
    )
    return sections(parts)


def _enough(result: Mapping[str, Any]) -> str:
    limits, whole = result["limits"], result["clips"]["num_clips"]
    found = {(row["order"], row["method"]): row["num_clips"] for row in result["enough"]}
    orders, methods = _kinds(result)
    rows = [(method, *(found[order, method] or "not reached" for order in orders)) for method in methods]
    heading = ("Method", *(f"{order} (of {result['num_clips_of_order'][order]})" for order in orders))
    return (
        f"Least number of clips from which on the median drift stays below {100 * limits['median']:g} % "
        f"and the 99th percentile below {100 * limits['p99']:g} %, of those tried below {whole}.\n\n"
        + table(heading, rows, right=len(orders))
    )


def _drift(result: Mapping[str, Any]) -> str:
    sizes, found = _sizes(result), _found(result)
    orders, methods = _kinds(result)
    rows = [
        (
            method,
            order,
            *(
                f"{100 * row['median']:.1f} ({100 * row['p99']:.0f})" if row else ""
                for row in (found.get((order, method, size)) for size in sizes)
            ),
        )
        for method in methods
        for order in orders
    ]
    return (
        f"Median over {len(result['drifts'][0]['by_tensor'])} tensors and {result['seeds']} orders, in "
        "percent; the 99th percentile in brackets.\n\n"
        + table(("Method", "Order", *(f"{size} clips" for size in sizes)), rows, right=len(sizes))
    )


def _worst(result: Mapping[str, Any]) -> str:
    found = _found(result)
    orders, methods = _kinds(result)
    rows = []
    for method in methods:
        cells = []
        for order in orders:
            largest = max(size for kind, name, size in found if (kind, name) == (order, method))
            tensors = found[order, method, largest]["by_tensor"]
            worst = max(tensors, key=lambda name: tensors[name])
            cells.append(f"`{worst}` {100 * tensors[worst]:.0f} % at {largest}")
        rows.append((method, *cells))
    return "Largest drift in any order at the largest subset of each kind.\n\n" + table(
        ("Method", *orders), rows, right=0
    )


def _origin(result: Mapping[str, Any]) -> str:
    run = result["run"]
    return "\n".join(
        (
            f"* `{run['command']}`",
            f"* network `{result['model']['file']}`, SHA-256 `{result['model']['sha256'][:12]}`",
            f"* clips `{result['clips']['name']}`, digest `{result['clips']['sha256'][:12]}`"
            + "".join(f", {program}" for program in result["clips"]["made_by"]),
            f"* {run['date']}, {cores_of(run['machine'])}",
            f"* {versions_of(run)}",
        )
    )


def _kinds(result: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    orders = list(dict.fromkeys(row["order"] for row in result["drifts"]))
    return orders, list(dict.fromkeys(row["method"] for row in result["drifts"]))


def _sizes(result: Mapping[str, Any]) -> list[int]:
    return sorted({int(row["num_clips"]) for row in result["drifts"]})


def _found(result: Mapping[str, Any]) -> dict[tuple[str, str, int], Any]:
    return {(row["order"], row["method"], row["num_clips"]): row for row in result["drifts"]}
