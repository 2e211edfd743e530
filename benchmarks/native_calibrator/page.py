"""The generated part of the docs page: tables that only the benchmark's JSON feeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from benchmarks.native_calibrator.accuracy import NATIVE, OURS
from benchmarks.native_calibrator.compare import EXPLANATIONS, MEANINGS
from benchmarks.origin import cores_of, gpus_of, versions_of
from benchmarks.pages import sections, table

_NOT_YET = "not measured yet"
_NAMES = {NATIVE: "calibrated by TensorRT", OURS: "from trtforge's cache"}


def tables(result: Mapping[str, Any]) -> str:
    """Return the tables in Markdown: agreement, what differs and why, rules, engines, words, origin."""
    parts = (
        ("Scales", _scales(result)),
        ("Farther than a bin", _far(result)),
        ("Rules", _rules(result)),
        ("Engines", _engines(result)),
        ("Word errors", _words(result)),
        ("Made with", _origin(result)),
    )
    return sections(parts)


def _scales(result: Mapping[str, Any]) -> str:
    rows = []
    for row in result["networks"]:
        if "num_compared" not in row:
            rows.append((row["title"], row["failed"] or _NOT_YET, *[""] * 5))
            continue
        of = row["ratios"]
        rows.append(
            (
                row["title"],
                f"{row['num_rows']} of {' x '.join(map(str, row['shape'][1:]))}",
                row["num_compared"],
                _share(row["num_within"], row["num_compared"]),
                _share(row["num_equal_over_bins"], row["num_over_bins"]) or "not counted",
                f"{of['median']:.3f} ({of['least']:.3f} to {of['largest']:.3f})" if of else "",
                f"{of['median_factor']:.3f}" if of else "",
            )
        )
    heading = (
        "Network",
        "Rows",
        "Scales",
        "Within a bin of ours, %",
        "Equal over TensorRT's own bins, %",
        "TensorRT's / ours",
        "Median factor apart",
    )
    return (
        "Thresholds, TensorRT's over ours: median, least and largest. The factor has the larger of both on "
        "top.\n\n" + table(heading, rows, right=5)
    )


def _far(result: Mapping[str, Any]) -> str:
    far = [row for row in result["tensors"] if not row["within"]]
    if not far:
        return ""
    networks = list(dict.fromkeys(row["network"] for row in result["tensors"]))
    kinds = [kind for kind in EXPLANATIONS if any(row["explanation"] == kind for row in far)]
    counts = Counter((row["network"], row["explanation"]) for row in far)
    rows = [
        (f"`{kind}`", EXPLANATIONS[kind], *(counts[network, kind] for network in networks)) for kind in kinds
    ]
    rows.append(("none found", "", *(counts[network, None] for network in networks)))
    text = "Scales farther than a bin from ours, by the first explanation that fits.\n\n" + table(
        ("Explanation", "Meaning", *networks), rows, right=len(networks)
    )
    others = [
        f"* {row['network']}, `{row['tensor']}`: TensorRT's / ours {row['ratio']:.4f}, "
        f"{row['explanation'] or 'no explanation'}"
        for row in far
        if row["explanation"] != "bins"
    ]
    if not others:
        return text
    return "\n\n".join([text, "Those that TensorRT's bins do not explain:", "\n".join(others)])


def _rules(result: Mapping[str, Any]) -> str:
    networks = list(dict.fromkeys(row["network"] for row in result["rules"]))
    if not networks:
        return ""
    found = {(row["network"], row["rule"]): row for row in result["rules"]}
    rows = [
        (
            f"`{rule}`",
            meaning,
            *(
                _share(cell["num_equal"], cell["num_compared"]) if cell else "not counted"
                for cell in (found.get((network, rule)) for network in networks)
            ),
        )
        for rule, meaning in MEANINGS.items()
    ]
    return "Scales of TensorRT that each rule gives to a hundredth of its bin, in percent.\n\n" + table(
        ("Rule", "What it does", *networks), rows, right=len(networks)
    )


def _engines(result: Mapping[str, Any]) -> str:
    made = {(row["network"], row["engine"]): row for row in result["engines"]}
    rows = []
    for row in result["times"]:
        # The first once more has no row of its own.
        engine = made.get((row["network"], row["engine"]))
        ratio = (
            f"{row['median_ratio']:.4f} ({row['ratio_interval'][0]:.4f} to {row['ratio_interval'][1]:.4f})"
        )
        snr = engine.get("snr_db") if engine else None
        rows.append(
            (
                row["network"],
                _NAMES.get(row["engine"], "the first once more"),
                _layers(engine) if engine else "",
                f"{row['median_ms']:.4f} ({row['p10_ms']:.4f} to {row['p90_ms']:.4f})",
                "1" if row["engine"] == NATIVE else ratio,
                "" if snr is None else f"{snr:.1f}",
            )
        )
    if not rows:
        return ""
    heading = ("Network", "Engine", "Layers by type", "Time, ms", "Ratio", "SNR, dB")
    return (
        "Device time of one inference over a batch: median, and the 10th to the 90th percentile. The ratio "
        "is that of turns side by side: median, and its 95 % interval. SNR is that of the output against "
        "FP32.\n\n" + table(heading, rows, right=3)
    )


def _layers(engine: Mapping[str, Any]) -> str:
    counts = engine["layer_precisions"]
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "not told"


def _words(result: Mapping[str, Any]) -> str:
    rows = []
    for row in result["rates"]:
        of = row["against"]
        change = (
            "" if of is None else f"{_points(row['increase'])}{_interval(row['increase_interval'], True)}"
        )
        rows.append(
            (
                _NAMES.get(row["runner"], row["runner"]),
                _NAMES.get(of, of or ""),
                row["num_errors"],
                f"{100 * row['wer']:.2f}{_interval(row['wer_interval'], False)}",
                change,
            )
        )
    if not rows:
        return ""
    first = result["rates"][0]
    heading = ("Recognised with", "Against", "Word errors", "WER, %", "Increase, points")
    return (
        f"The recogniser on {first['num_clips']} clips, {first['num_words']} words; 95 % intervals in "
        "brackets, those of increases paired by clip.\n\n" + table(heading, rows, right=3)
    )


def _origin(result: Mapping[str, Any]) -> str:
    lines = []
    for row in result["networks"]:
        if not row.get("failed") and "num_compared" not in row:
            lines.append(f"* {row['network']}: {_NOT_YET}")
            continue
        run = row["run"]
        clocks = [text for text in row.get("clocks", ()) if text]
        lines += [
            f"* {row['network']}: `{run['command']}`, {run['date']}, {row.get('library', 'no library')}, "
            f"{gpus_of(run['machine'])}, {cores_of(run['machine'])}; {versions_of(run)}",
            *([f"  * clocks before and after timing: {'; '.join(clocks)}"] if clocks else []),
            *([f"  * failed: {row['failed']}"] if row.get("failed") else []),
            *([f"  * left out: {', '.join(row['left_out'])}"] if row.get("left_out") else []),
        ]
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else ""


def _points(change: float) -> str:
    text = f"{100 * change:+.2f}"
    return text if float(text) else text[1:]


def _interval(interval: list[float] | None, signed: bool) -> str:
    if interval is None:
        return ""
    low, high = (_points(value) if signed else f"{100 * value:.2f}" for value in interval)
    return f" ({low} to {high})"
