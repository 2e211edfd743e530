"""The generated part of the page on searching: tables that only the benchmark's JSON feeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.origin import gpus_of, made_by, versions_of
from benchmarks.pages import sections, table
from trtforge.assignment import AccuracyBudget, Score

_SAME_SHARE = 1e-9


def tables(result: Mapping[str, Any]) -> str:
    """Return the tables in Markdown: the choices, each layer's cost, the frontier, other clips, origin."""
    return sections(
        (
            ("The assignments", _chosen(result)),
            ("What each layer costs", _sensitivity(result)),
            ("The frontier", _frontier(result)),
            ("Time on a GPU", _times(result)),
            ("On clips that the search did not see", _judged(result)),
            ("Twice", _twice(result)),
            ("Made with", _origin(result)),
        )
    )


def _chosen(result: Mapping[str, Any]) -> str:
    first = result["chosen"][0]["assignment"]["budget"]
    rows = [("all layers INT8", "100.0", *_score(result["everything"]), _worst(result["everything"], first))]
    told = []
    for entry in result["chosen"]:
        assignment = entry["assignment"]
        name = f"chosen for {entry['budget']}"
        share = f"{100 * assignment['int8_share']:.1f}"
        rows.append((name, share, *_score(assignment["score"]), _worst(assignment["score"], first)))
        kept = ", ".join(f"`{node}`" for node in assignment["keep_float"]) or "nothing"
        told.append(f"In floating point, {name} ({_budget(assignment['budget'])}): {kept}.")
    heading = ("Network", "INT8, %", "SNR, dB", "Cosine", "WER, points", "Worst stratum, points")
    return "\n\n".join([table(heading, rows, right=5), *told])


def _budget(budget: Mapping[str, Any]) -> str:
    bounds = []
    if budget["wer_increase"] is not None:
        bounds.append(f"at most {100 * budget['wer_increase']:g} points of WER")
    if budget["stratum_wer_increase"] is not None:
        points, clips = 100 * budget["stratum_wer_increase"], budget["min_clips"]
        bounds.append(f"at most {points:g} in any stratum of {clips} clips")
    if budget["snr_db"] is not None:
        bounds.append(f"at least {budget['snr_db']:g} dB")
    return ", ".join(bounds)


def _worst(score: Mapping[str, Any], budget: Mapping[str, Any]) -> str:
    judged = {
        name: _increase(stratum)
        for name, stratum in score["strata"].items()
        if stratum["num_clips"] >= budget["min_clips"]
    }
    if not judged:
        return "none judged"
    name = max(judged, key=lambda key: judged[key])
    return f"{judged[name]:+.2f} ({name})"


def _sensitivity(result: Mapping[str, Any]) -> str:
    order = result["order"]
    rows = []
    for row in result["sensitivity"]:
        alone, left_out = _score(row["alone"]), _score(row["left_out"])
        place = order.index(row["group"]) + 1
        share = f"{100 * row['share']:.1f}"
        rows.append((f"`{row['group']}`", share, alone[0], alone[2], left_out[0], left_out[2], place))
    heading = (
        "Layer",
        "Work, %",
        "Alone in INT8: SNR, dB",
        "WER, points",
        "Alone left out: SNR, dB",
        "WER, points",
        "Order",
    )
    return table(heading, rows, right=6)


def _frontier(result: Mapping[str, Any]) -> str:
    budgets = [entry["budget"] for entry in result["chosen"]]
    rows = [
        (*_point(point, "one by one"), *(_verdict(point, entry) for entry in result["chosen"]))
        for point in result["frontier"]
    ]
    for entry in result["chosen"]:
        for point in entry["refined"]:
            verdicts = [_verdict(point, entry) if name == entry["budget"] else "" for name in budgets]
            rows.append((*_point(point, "taken back"), *verdicts))
    heading = ("Left out", "Layers", "INT8, %", "SNR, dB", "Cosine", "WER, points", *map(_title, budgets))
    return table(heading, rows, right=len(heading) - 1)


def _times(result: Mapping[str, Any]) -> str:
    if "timed" not in result:
        return ""
    rows = []
    refined = [point for entry in result["chosen"] for point in entry["refined"]]
    for kind, points in (("one by one", result["frontier"]), ("taken back", refined)):
        for point in points:
            time = point["time"]
            told = (
                (f"{100 * time['ratio']:.1f}", f"{100 * time['low']:.1f} to {100 * time['high']:.1f}")
                if time["error"] is None
                else ("not built", time["error"].replace("|", "/"))
            )
            rows.append((*_point(point, kind)[:4], *told))
    heading = ("Left out", "Layers", "INT8, %", "SNR, dB", "Time, % of FP16", "Quartiles")
    run = result["timed"]
    made = f"{made_by(run)}, on {gpus_of(run['machine'])}; {versions_of(run)}."
    return f"{table(heading, rows, right=5)}\n\n{made}"


def _title(budget: str) -> str:
    return f"{budget[0].upper()}{budget[1:]}"


def _point(point: Mapping[str, Any], kind: str) -> tuple[object, ...]:
    return kind, len(point["left_out"]), f"{100 * point['int8_share']:.1f}", *_score(point["score"])


def _verdict(point: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    budget = AccuracyBudget.from_json(entry["assignment"]["budget"])
    if budget.excess(Score.from_json(point["score"])):
        return "beyond"
    chosen = abs(point["int8_share"] - entry["assignment"]["int8_share"]) < _SAME_SHARE
    same = point["score"] == entry["assignment"]["score"]
    return "chosen" if chosen and same else "within"


def _judged(result: Mapping[str, Any]) -> str:
    rows = []
    for row in result["judged"]:
        rate = f"{100 * row['num_errors'] / row['num_words']:.2f}"
        increase, interval = "", ""
        if row["increase"] is not None:
            increase = f"{100 * row['increase']:+.2f}"
        if row["interval"] is not None:
            interval = " to ".join(f"{100 * end:+.2f}" for end in row["interval"])
        snr = "" if row["snr_db"] is None else f"{row['snr_db']:.1f}"
        rows.append((row["runner"], row["num_clips"], row["num_words"], snr, rate, increase, interval))
    heading = ("Network", "Clips", "Words", "SNR, dB", "WER, %", "Increase, points", "95 % interval")
    return table(heading, rows, right=6)


def _twice(result: Mapping[str, Any]) -> str:
    digests = result["digests"]
    same = "the same result" if len(set(digests)) == 1 else "different results"
    told = ", ".join(f"`{digest[:12]}`" for digest in digests)
    return f"{len(digests)} searches from nothing gave {same}, by the SHA-256 of all scores: {told}."


def _score(score: Mapping[str, Any]) -> tuple[str, str, str]:
    snr = "exact" if score["snr_db"] is None else f"{score['snr_db']:.1f}"
    words = score["words"]
    return snr, f"{score['cosine']:.5f}", f"{_increase(words):+.2f}" if words else ""


def _increase(words: Mapping[str, Any]) -> float:
    return float(100 * (words["errors"] - words["reference_errors"]) / max(1, words["num_words"]))


def _origin(result: Mapping[str, Any]) -> str:
    run = result["run"]
    return (
        f"{made_by(run)}, on {result['num_clips']} clips: {run['machine']['processor']}, "
        f"{run['machine']['num_cpus']} cores; {versions_of(run)}."
    )
