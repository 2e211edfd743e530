"""The generated part of the docs page: tables that only the benchmark's JSON feeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.calibration_data.measure import REFERENCE, candidate_name
from benchmarks.origin import cores_of, versions_of
from benchmarks.pages import sections, table


def tables(result: Mapping[str, Any]) -> str:
    """Return the tables in Markdown: data sets, rates overall, increase by condition, thresholds, origin."""
    parts = (
        ("Data sets", _data_sets(result)),
        ("Overall", _overall(result)),
        ("By condition", _by_condition(result)),
        ("Thresholds", _thresholds(result)),
        ("Made with", _origin(result)),
    )
    return sections(parts)


def _data_sets(result: Mapping[str, Any]) -> str:
    rows = [(x["label"], x["description"], x["num_clips"]) for x in result["sources"]]
    return table(("Calibrated on", "What it holds", "Clips"), rows, right=1)


def _overall(result: Mapping[str, Any]) -> str:
    found = {row["runner"]: row for row in result["rates"] if row["factor"] == "overall"}
    whole = found[REFERENCE]
    agreement = {row["runner"]: row["argmax_agreement"] for row in result["outputs"]}
    rows = [("not quantized", "", "", whole["num_errors"], _rate(whole), "")]
    for source in result["sources"]:
        for method in result["methods"]:
            name = candidate_name(source["key"], method)
            same = "" if agreement[name] is None else f"{100 * agreement[name]:.1f}"
            row = found[name]
            rows.append((source["label"], method, same, row["num_errors"], _rate(row), _increase(row)))
    heading = ("Calibrated on", "Method", "Same symbol, %", "Word errors", "WER, %", "Increase, points")
    return (
        f"{whole['num_clips']} clips, {whole['num_words']} words; 95 % intervals in brackets. *Same symbol* "
        "is how often the quantized network's best symbol at a step is the one that FP32 has.\n\n"
        + table(heading, rows, right=4)
    )


def _by_condition(result: Mapping[str, Any]) -> str:
    sources, method = result["sources"], result["methods"][0]
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for row in result["rates"]:
        groups.setdefault((row["factor"], row["value"]), {})[row["runner"]] = row
    rows = []
    for (factor, value), found in groups.items():
        if factor == "overall":
            continue
        whole = found[REFERENCE]
        changes = [_marked(found[candidate_name(source["key"], method)]) for source in sources]
        rows.append(
            (
                f"{factor} {value}",
                whole["num_clips"],
                whole["num_words"],
                f"{100 * whole['wer']:.1f}",
                *changes,
            )
        )
    heading = ("Condition", "Clips", "Words", "FP32 WER, %", *(source["label"] for source in sources))
    return (
        f"Increase in points over FP32 with `{method}`; bold where its 95 % interval excludes zero.\n\n"
        + table(heading, rows, right=3 + len(sources))
    )


def _thresholds(result: Mapping[str, Any]) -> str:
    sources, method = result["sources"], result["methods"][0]
    amax: dict[str, dict[str, float]] = {}
    for row in result["thresholds"]:
        amax.setdefault(row["tensor"], {})[row["source"]] = row["amax"][method]
    first = sources[0]["key"]
    rows = [
        (
            f"`{tensor}`",
            f"{by_source[first]:.2f}",
            *(f"{by_source[source['key']] / by_source[first]:.2f}" for source in sources[1:]),
        )
        for tensor, by_source in amax.items()
    ]
    heading = ("Tensor", f"`amax`, {sources[0]['label']}", *(source["label"] for source in sources[1:]))
    return (
        f"`amax` with `{method}`: in activation units for the first data set, as a multiple of that for the "
        "others.\n\n" + table(heading, rows, right=len(sources))
    )


def _origin(result: Mapping[str, Any]) -> str:
    run = result["run"]
    return "\n".join(
        (
            f"* `{run['command']}`",
            f"* network `{result['model']['file']}`, SHA-256 `{result['model']['sha256'][:12]}`",
            f"* clips `{result['test_set']['name']}`, digest `{result['test_set']['sha256'][:12]}`",
            f"* {run['date']}, {cores_of(run['machine'])}, {sum(result['seconds'].values()):.0f} s",
            f"* {versions_of(run)}",
        )
    )


def _rate(row: Mapping[str, Any]) -> str:
    interval = row["wer_interval"]
    text = f"{100 * row['wer']:.2f}"
    return text if interval is None else f"{text} ({100 * interval[0]:.2f} to {100 * interval[1]:.2f})"


def _increase(row: Mapping[str, Any]) -> str:
    interval = row["increase_interval"]
    text = _points(row["increase"], 2)
    return text if interval is None else f"{text} ({_points(interval[0], 2)} to {_points(interval[1], 2)})"


def _points(change: float, digits: int) -> str:
    text = f"{100 * change:+.{digits}f}"
    return text if float(text) else text[1:]


def _marked(row: Mapping[str, Any]) -> str:
    interval = row["increase_interval"]
    text = _points(row["increase"], 1)
    return f"**{text}**" if interval and (interval[0] > 0 or interval[1] < 0) else text
