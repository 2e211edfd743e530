"""The head of the page: the verdict in one sentence and a few large figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trtforge.report.formatting import count, percent, plural, points, points_range
from trtforge.units import format_bytes


def header_section(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return title, subtitle, verdict (with its tone), remarks and tiles of label, value and note."""
    model = report.get("model") or {}
    facts = [str(model["name"])] if model.get("name") else []
    if model.get("num_parameters"):
        facts.append(f"{count(model['num_parameters'])} parameters")
    verdict, tone = _verdict(report.get("accuracy"))
    tiles = [_accuracy_tile(report), _int8_tile(report), _engine_tile(report), _calibration_tile(report)]
    return {
        "title": str(report.get("title") or model.get("name") or "Report"),
        "subtitle": " · ".join(facts),
        "verdict": verdict,
        "tone": tone,
        "remarks": [str(remark) for remark in report.get("remarks") or ()],
        "tiles": [tile for tile in tiles if tile],
    }


def _verdict(accuracy: Mapping[str, Any] | None) -> tuple[str, str]:
    overall = accuracy and accuracy.get("overall")
    if not accuracy or not overall or len(accuracy["runners"]) < 2:
        return "", "plain"
    reference, candidate = accuracy["reference"], accuracy["runners"][-1]
    increase = overall["runners"][candidate]["wer_increase"]
    if not increase or increase["rate"] is None:
        return "", "plain"
    clips = plural(overall["num_clips"], "clip")
    if increase["ci"] is None:
        return f"{candidate} differs from {reference} by {points(increase['rate'])} points of WER.", "plain"
    low, high = increase["ci"]
    confidence = f"{100 * accuracy['bootstrap']['confidence']:g} % interval {points_range(increase['ci'])}"
    change = f"{points(increase['rate'])} points of word error rate ({confidence})"
    if low <= 0 <= high:
        return f"{candidate} recognises as well as {reference}, as far as {clips} can tell: {change}.", "good"
    if increase["rate"] > 0:
        return f"{candidate} makes more word errors than {reference} on {clips}: {change}.", "bad"
    return f"{candidate} makes fewer word errors than {reference} on {clips}: {change}.", "good"


def _accuracy_tile(report: Mapping[str, Any]) -> dict[str, str] | None:
    accuracy = report.get("accuracy")
    if not accuracy or not accuracy.get("overall"):
        return None
    runners = accuracy["overall"]["runners"]
    reference, candidate = accuracy["reference"], accuracy["runners"][-1]
    before = percent(runners[reference]["wer"]["rate"])
    if candidate == reference:
        return {"label": "Word error rate", "value": before, "note": reference}
    after = percent(runners[candidate]["wer"]["rate"])
    return {
        "label": "Word error rate",
        "value": f"{before.removesuffix(' %')} → {after}",
        "note": f"{reference} → {candidate}",
    }


def _int8_tile(report: Mapping[str, Any]) -> dict[str, str] | None:
    counts = (report.get("graph") or {}).get("counts") or {}
    layers = sum(map(int, counts.values()))
    if not layers:
        return None
    int8 = int(counts.get("int8", 0))
    return {
        "label": "INT8 share",
        "value": percent(int8 / layers, 0),
        "note": f"{count(int8)} of {plural(layers, 'layer')}",
    }


def _engine_tile(report: Mapping[str, Any]) -> dict[str, str] | None:
    engine = report.get("engine")
    if not engine:
        return None
    library = " ".join(str(engine[key]) for key in ("library", "version") if engine.get(key))
    return {"label": "Engine", "value": format_bytes(int(engine["bytes"])), "note": library}


def _calibration_tile(report: Mapping[str, Any]) -> dict[str, str] | None:
    calibration = report.get("calibration")
    if not calibration:
        return None
    rejected = len(calibration.get("rejected") or {})
    note = f"{calibration['method']}, {plural(len(calibration.get('tensors') or []), 'tensor')}"
    return {
        "label": "Calibrated on",
        "value": plural(calibration["num_clips"], "clip"),
        "note": note + (f", {rejected} left out" if rejected else ""),
    }
