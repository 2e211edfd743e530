"""The parts of the page on what was built: layers, engine, time taken, and where it all comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trtforge.report.formatting import count, percent, plural, precision_name
from trtforge.units import format_bytes, format_duration

_ORDER = ("int8", "float16", "bfloat16", "float32")


def layers_section(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return layer counts by precision, by operator and precision, every layer, and what stayed FP32."""
    graph = report.get("graph")
    if not graph:
        return None
    counts = {name: int(n) for name, n in graph["counts"].items() if int(n)}
    names = sorted(counts, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    layers = graph.get("layers") or []
    by_op: dict[str, dict[str, int]] = {}
    for layer in layers:
        row = by_op.setdefault(layer["op"], {})
        row[layer["precision"]] = row.get(layer["precision"], 0) + 1
        if layer["precision"] not in names:
            names.append(layer["precision"])
    whole = sum(counts.values())
    return {
        "precisions": [precision_name(name) for name in names],
        "shares": [
            {
                "name": precision_name(name),
                "kind": name if name in _ORDER else "other",
                "share": f"{100 * counts[name] / whole:.2f}%",
                "text": f"{count(counts[name])} ({percent(counts[name] / whole, 0)})",
            }
            for name in names
            if name in counts
        ],
        "ops": [
            {"op": op, "counts": [count(row[name]) if name in row else "" for name in names]}
            for op, row in sorted(by_op.items(), key=lambda item: (-sum(item[1].values()), item[0]))
        ],
        "layers": [
            {"name": layer["name"], "op": layer["op"], "precision": precision_name(layer["precision"])}
            for layer in layers
        ],
        "total": plural(len(layers), "layer"),
        "float32_nodes": [
            {"name": name, "reason": reason} for name, reason in (graph.get("float32_nodes") or {}).items()
        ],
    }


def engine_section(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return facts about the engine as pairs of name and text, and its optimization profiles."""
    engine = report.get("engine")
    if not engine:
        return None
    facts = [
        ("Built with", " ".join(str(engine[key]) for key in ("library", "version") if engine.get(key))),
        ("Size", f"{format_bytes(int(engine['bytes']))} ({count(engine['bytes'])} bytes)"),
        ("Precision", precision_name(str(engine.get("precision") or ""))),
        ("Runs on compute capability", ", ".join(map(str, engine.get("compute_capabilities") or []))),
        ("Validity", str(engine.get("validity") or "")),
    ]
    return {
        "facts": [(name, text) for name, text in facts if text],
        "profiles": [_profile_text(profile) for profile in engine.get("profiles") or []],
    }


def _profile_text(profile: Any) -> str:
    if not isinstance(profile, Mapping):
        return profile if isinstance(profile, str) else json.dumps(profile, ensure_ascii=False)
    return "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in profile.items())


def timings_section(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return each stage with its time and its share of the longest one."""
    timings = {stage: float(seconds) for stage, seconds in (report.get("timings") or {}).items()}
    if not timings:
        return None
    longest = max(timings.values()) or 1.0
    return {
        "rows": [
            {"stage": stage, "text": format_duration(seconds), "share": f"{100 * seconds / longest:.2f}%"}
            for stage, seconds in timings.items()
        ],
        "total": format_duration(sum(timings.values())),
    }


def provenance_section(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the environment, the network's facts, the digests and the command, each as pairs."""
    model, engine = report.get("model") or {}, report.get("engine") or {}
    network = [
        ("Opset", str(model["opset"]) if model.get("opset") else ""),
        ("Inputs", "\n".join(map(str, model.get("inputs") or []))),
        ("Outputs", "\n".join(map(str, model.get("outputs") or []))),
    ]
    digests = [
        ("Network", model.get("sha256")),
        ("Calibration feeds", (report.get("calibration") or {}).get("feeds_sha256")),
        ("Engine", engine.get("sha256")),
    ]
    return {
        "network": [(name, text) for name, text in network if text],
        "environment": [(name, str(text)) for name, text in (report.get("environment") or {}).items()],
        "digests": [(name, str(digest)) for name, digest in digests if digest],
        "command": str(report.get("command") or ""),
    }
