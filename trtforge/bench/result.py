"""Results as files: read, written, and put together from parts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from trtforge._files import read_json, write_text
from trtforge.bench.form import check_form
from trtforge.errors import ReportError

FORMAT = "trtforge.bench/1"
_LISTS = ("networks", "contenders", "rows")
_KEYS = {
    "networks": ("network",),
    "contenders": ("network", "contender"),
    "rows": ("network", "contender", "batch", "frames"),
}


def load_result(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a result.

    Raises
    ------
    ReportError : the file is missing, is no such result, or lacks what is read of one.
    """
    value = read_json(path, what="benchmark result", error=ReportError)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ReportError(f'{os.fspath(path)} is no benchmark result: it lacks "format": "{FORMAT}"')
    try:
        check_form(value)
    except ValueError as error:
        raise ReportError(f"{os.fspath(path)} is a damaged benchmark result: {error}") from error
    return value


def save_result(result: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a result as JSON, one line for each row, so that a change of numbers reads well as a diff."""
    write_text(path, to_text(result))


def to_text(result: Mapping[str, Any]) -> str:
    """Return the JSON of a result."""
    parts = []
    for key, value in result.items():
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        if isinstance(value, list) and value:
            rows = (json.dumps(row, allow_nan=False, ensure_ascii=False) for row in value)
            text = "[\n    " + ",\n    ".join(rows) + "\n  ]"
        parts.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def merge(results: Sequence[Mapping[str, Any]], *, anyway: bool = False) -> dict[str, Any]:
    """Put results of one machine together; each row keeps which run it came from.

    A later one replaces what an earlier one has of the same network, contender and shape; runs of which
    nothing is left go.

    Parameters
    ----------
    results : one or more.
    anyway : put results of unlike machines together, too.

    Raises
    ------
    ReportError : there is none, or they are of unlike machines.
    """
    if not results:
        raise ReportError("there is no result to merge")
    runs: list[Any] = []
    parts: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {key: {} for key in _LISTS}
    for result in results:
        for run in result["runs"]:
            if not anyway and (unlike := unlike_machines(results[0]["runs"][0], run)):
                raise ReportError(f"the results are of unlike machines: {'; '.join(unlike)}")
        for key in _LISTS:
            for row in result[key]:
                name = tuple(row[field] for field in _KEYS[key])
                parts[key].pop(name, None)
                parts[key][name] = {**row, "run": row["run"] + len(runs)}
        runs += result["runs"]
    used = sorted({row["run"] for part in parts.values() for row in part.values()})
    number = {old: new for new, old in enumerate(used)}
    return {
        "format": FORMAT,
        "runs": [runs[old] for old in used],
        **{key: [{**row, "run": number[row["run"]]} for row in part.values()] for key, part in parts.items()},
    }


def unlike_machines(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return in words what of two runs' machines differs: processor, cores, GPUs."""
    return [
        f"{what} {first['machine'][key]!r} and {second['machine'][key]!r}"
        for key, what in (("processor", "processor"), ("num_cpus", "cores"), ("gpus", "GPUs"))
        if first["machine"][key] != second["machine"][key]
    ]
