"""The accuracy part of the page: rates, strata, output differences and the worst clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trtforge.report.diff import align_words
from trtforge.report.formatting import (
    DASH,
    count,
    number,
    percent,
    percent_range,
    plural,
    points,
    points_range,
)
from trtforge.report.plots import Plots, StratumRow


def accuracy_section(report: Mapping[str, Any], plots: Plots) -> dict[str, Any] | None:
    """Return overall rows, one block for each factor (plot and table), and output differences."""
    accuracy = report.get("accuracy")
    if not accuracy:
        return None
    overall, strata, runners = accuracy.get("overall"), accuracy["strata"], accuracy["runners"]
    bootstrap = accuracy["bootstrap"]
    note = (
        f"Texts were compared after: {accuracy['normalization']}. Intervals hold "
        f"{100 * bootstrap['confidence']:g} % of {count(bootstrap['num_resamples'])} resamples of the clips; "
        f"those of differences are paired by clip."
    )
    return {
        "reference": accuracy["reference"],
        "candidates": runners[1:],
        "runners": [{"name": name, "color": index % 4} for index, name in enumerate(runners)],
        "clips": plural(accuracy["num_clips"], "clip"),
        "overall": [_overall_row(overall, name) for name in runners] if overall else [],
        "words": plural(overall["num_words"], "word") if overall else "",
        "factors": _factors(accuracy, plots) if overall and strata else [],
        "outputs": [
            _output_row(runner, output, metrics)
            for runner, outputs in accuracy["outputs"].items()
            for output, metrics in outputs.items()
        ],
        "rejected": [f"{clip}: {reason}" for clip, reason in accuracy["rejected"].items()],
        "nonfinite": [
            f"{runner} gave values that are not finite on {plural(len(clips), 'clip')}: "
            + ", ".join(clips[:5])
            for runner, clips in accuracy["nonfinite"].items()
            if clips
        ],
        "note": note if overall else "",
    }


def _overall_row(overall: Mapping[str, Any], name: str) -> dict[str, Any]:
    result = overall["runners"][name]
    return {
        "name": name,
        "wer": percent(result["wer"]["rate"]),
        "wer_ci": percent_range(result["wer"]["ci"]),
        "errors": count(result["wer"]["errors"]),
        "kinds": [count(result["wer"][key]) for key in ("substitutions", "deletions", "insertions")],
        "cer": percent(result["cer"]["rate"]),
        "cer_ci": percent_range(result["cer"]["ci"]),
        "change": _change(result["wer_increase"]),
    }


def _change(increase: Mapping[str, Any] | None) -> dict[str, str] | None:
    if increase is None:
        return None
    interval = increase["ci"]
    tone = "plain"
    if interval is not None:
        tone = "bad" if interval[0] > 0 else "good" if interval[1] < 0 else "plain"
    return {"text": points(increase["rate"]), "ci": points_range(interval), "tone": tone}


def _factors(accuracy: Mapping[str, Any], plots: Plots) -> list[dict[str, Any]]:
    runners, strata = accuracy["runners"], accuracy["strata"]
    limit = max(_highest(stratum, runners) for stratum in strata)
    average = accuracy["overall"]["runners"][accuracy["reference"]]["wer"]["rate"]
    blocks = []
    for factor in dict.fromkeys(stratum["factor"] for stratum in strata):
        group = [stratum for stratum in strata if stratum["factor"] == factor]
        rows = [
            StratumRow(
                stratum["value"],
                [(x["wer"]["rate"], x["wer"]["ci"]) for x in map(stratum["runners"].__getitem__, runners)],
            )
            for stratum in group
        ]
        blocks.append(
            {
                "name": factor,
                "plot": plots.strata(rows, limit=limit, average=average, label=f"WER by {factor}"),
                "rows": [_stratum_row(stratum, runners) for stratum in group],
            }
        )
    return blocks


def _highest(stratum: Mapping[str, Any], runners: Sequence[str]) -> float:
    values = [stratum["runners"][name]["wer"] for name in runners]
    return max((x["ci"][1] if x["ci"] else x["rate"] or 0.0) for x in values)


def _stratum_row(stratum: Mapping[str, Any], runners: Sequence[str]) -> dict[str, Any]:
    results = [stratum["runners"][name] for name in runners]
    return {
        "value": stratum["value"],
        "clips": count(stratum["num_clips"]),
        "words": count(stratum["num_words"]),
        "wer": [percent(result["wer"]["rate"]).removesuffix(" %") for result in results],
        "changes": [_change(result["wer_increase"]) for result in results[1:]],
    }


def _output_row(runner: str, output: str, metrics: Mapping[str, Any]) -> dict[str, str]:
    snr = "identical" if metrics["error_energy"] == 0 else DASH
    if metrics["snr_db"] is not None:
        snr = f"{metrics['snr_db']:.1f} dB"
    return {
        "runner": runner,
        "output": output,
        "snr": snr,
        "cosine": DASH if metrics["cosine"] is None else f"{metrics['cosine']:.5f}",
        "mean": number(metrics["mean_abs_error"]),
        "max": number(metrics["max_abs_error"]),
        "agreement": percent(metrics["argmax_agreement"]),
        "positions": count(metrics["num_positions"]),
    }


def worst_section(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the clips with the most errors added, their hypotheses aligned with what was said."""
    accuracy = report.get("accuracy")
    if not accuracy:
        return []
    clips = {clip["id"]: clip for clip in accuracy["clips"]}
    return [
        {
            "id": clip["id"],
            "strata": [f"{factor} {value}" for factor, value in clip["strata"].items()],
            "reference": clip["reference"],
            "runners": [
                {
                    "name": name,
                    "color": index % 4,
                    "errors": plural(clip["runners"][name]["errors"], "error"),
                    "words": align_words(clip["reference"], clip["runners"][name]["hypothesis"]),
                }
                for index, name in enumerate(accuracy["runners"])
            ],
        }
        for clip in (clips[clip_id] for clip_id in accuracy["worst_clips"])
    ]
