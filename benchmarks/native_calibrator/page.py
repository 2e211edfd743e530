"""The generated part of the docs page: tables that only the benchmark's JSON feeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.native_calibrator.accuracy import NATIVE, OURS
from benchmarks.native_calibrator.compare import EXPLANATIONS
from benchmarks.native_calibrator.variants import MEANINGS
from benchmarks.pages import fill_between, table

NOT_MEASURED = (
    "Not measured yet. On a machine with a GPU and TensorRT 8.6, "
    "`python -m benchmarks.bench_native_calibrator --page` measures and fills in the tables."
)
_NAMES = {NATIVE: "calibrated by TensorRT", OURS: "from trtforge's cache"}


def fill(page: str, result: Mapping[str, Any] | None) -> str:
    """Replace what stands between the page's markers by the tables of a result, or by `NOT_MEASURED`.

    Raises
    ------
    ConfigError : the page does not have each marker once, in order.
    """
    return fill_between(page, NOT_MEASURED if result is None else tables(result))


def tables(result: Mapping[str, Any]) -> str:
    """Return the tables in Markdown: agreement, what differs and why, rules, engines, words, origin."""
    sections = (
        ("Scales", _scales(result)),
        ("Farther than a bin", _far(result)),
        ("Rules", _rules(result)),
        ("Engines", _engines(result)),
        ("Word errors", _words(result)),
        ("Made with", _origin(result)),
    )
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in sections if text)


def _scales(result: Mapping[str, Any]) -> str:
    rows = []
    for row in result["networks"]:
        if "num_compared" not in row:
            rows.append((row["title"], "", "", "", "", row["failed"] or "not compared"))
            continue
        without = row["num_within_without_tf32"]
        rows.append(
            (
                row["title"],
                f"{row['num_rows']} of {' x '.join(map(str, row['shape'][1:]))}",
                row["num_compared"],
                _share(row["num_within"], row["num_compared"]),
                "" if without is None else _share(without, row["num_compared"]),
                f"{row['num_explained']} of {row['num_compared'] - row['num_within']}",
            )
        )
    heading = (
        "Network",
        "Rows",
        "Scales",
        "Within one bin, %",
        "TensorRT without TF32, %",
        "Others explained",
    )
    return table(heading, rows, right=4)


def _far(result: Mapping[str, Any]) -> str:
    far = [row for row in result["tensors"] if not row["within"]]
    if not far:
        return ""
    rows = [
        (
            row["network"],
            f"`{row['tensor']}`",
            f"{row['ratio']:.4f}",
            "" if row["bins_off"] is None else f"{row['bins_off']:.1f}",
            row["explanation"] or "none found",
        )
        for row in far
    ]
    kinds = dict.fromkeys(row["explanation"] for row in far if row["explanation"])
    meanings = "\n".join(f"* `{kind}`: {EXPLANATIONS[kind]}." for kind in kinds)
    heading = ("Network", "Tensor", "TensorRT's / ours", "Bins", "Explanation")
    return table(heading, rows, right=3) + (f"\n\n{meanings}" if meanings else "")


def _rules(result: Mapping[str, Any]) -> str:
    networks = list(dict.fromkeys(row["network"] for row in result["variants"]))
    if not networks:
        return ""
    found = {(row["network"], row["variant"]): row for row in result["variants"]}
    rows = [
        (
            f"`{variant}`",
            meaning,
            *(
                _share(cell["num_within"], cell["num_compared"]) if cell else ""
                for cell in (found.get((network, variant)) for network in networks)
            ),
        )
        for variant, meaning in MEANINGS.items()
    ]
    heading = ("Rule", "What it does", *networks)
    return "Scales of TensorRT within one bin of each rule, in percent.\n\n" + table(
        heading, rows, right=len(networks)
    )


def _engines(result: Mapping[str, Any]) -> str:
    made = {(row["network"], row["engine"]): row for row in result["engines"]}
    rows = []
    for row in result["times"]:
        engine = made.get((row["network"], row["engine"]), {})
        ratio = (
            f"{row['median_ratio']:.4f} ({row['ratio_interval'][0]:.4f} to {row['ratio_interval'][1]:.4f})"
        )
        snr = engine.get("snr_db")
        rows.append(
            (
                row["network"],
                _NAMES.get(row["engine"], "the first once more"),
                ", ".join(f"{count} {name}" for name, count in engine.get("layer_precisions", {}).items()),
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
        run = row["run"]
        machine, gpus = run["machine"], ", ".join(run["machine"]["gpus"]) or "no GPU"
        versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
        clocks = [text for text in row.get("clocks", ()) if text]
        lines += [
            f"* {row['network']}: `{run['command']}`, {run['date']}, {row.get('library', 'no library')}, "
            f"{gpus}, {machine['num_cpus']} cores of {machine['processor']}; {versions}",
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
