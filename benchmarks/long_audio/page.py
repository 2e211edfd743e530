"""The generated part of the page on long audio: tables that only the benchmark's JSON feeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.origin import cores_of, versions_of
from benchmarks.pages import fill_between, sections, table

_TITLES = {"onnx": "ONNX Runtime on a CPU", "session": "An FP32 engine on a GPU"}


def fill(page: str, results: Sequence[Mapping[str, Any]]) -> str:
    """Replace what stands between the page's markers by the tables of results, one for each runner.

    Raises
    ------
    ConfigError : the page does not have each marker once, in order.
    """
    return fill_between(page, sections((_TITLES[result["runner"]], _section(result)) for result in results))


def _section(result: Mapping[str, Any]) -> str:
    rows = [
        (
            f"{row['audio_seconds'] / 60:.0f}",
            row["num_words"],
            f"{row['seconds']:.1f}",
            f"{row['rtfx']:.0f}",
            f"{row['resident_before_bytes'] / 1e6:.0f}",
            f"{row['resident_peak_bytes'] / 1e6:.0f}",
        )
        for row in result["lengths"]
    ]
    heading = ("Minutes", "Words", "Seconds", "RTFx", "Memory once loaded, MB", "Peak, MB")
    return "\n\n".join(
        (
            table(heading, rows, right=6),
            _uncut(result["uncut"]),
            _origin(result),
        )
    )


def _uncut(uncut: Mapping[str, Any]) -> str:
    return (
        f"{uncut['audio_seconds']:.0f} s in {uncut['num_windows']} windows against the same uncut: "
        f"of {uncut['num_outputs']} output frames {uncut['other_best_symbols']} have another best symbol; "
        f"logits differ by at most {uncut['largest_difference']:.3g}, the largest is "
        f"{uncut['largest_logit']:.1f}."
    )


def _origin(result: Mapping[str, Any]) -> str:
    on = ", ".join([cores_of(result["machine"]), *result["machine"]["gpus"]])
    return f"Made with `{result['command']}`, {result['date']}, {on}; {versions_of(result)}."
