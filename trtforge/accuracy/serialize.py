"""Accuracy reports as plain JSON values, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from trtforge.accuracy.bootstrap import BootstrapConfig, Interval
from trtforge.accuracy.metrics import OutputMetrics
from trtforge.accuracy.report import AccuracyReport
from trtforge.accuracy.summary import (
    ClipHypothesis,
    ClipOutputs,
    ClipResult,
    ErrorRate,
    Increase,
    Recognition,
    Stratum,
)
from trtforge.accuracy.wer import ErrorCounts
from trtforge.errors import ReportError

FORMAT = "trtforge.accuracy/2"


def report_to_json(report: AccuracyReport) -> dict[str, Any]:
    """Write a report as plain JSON values; what is not finite becomes null."""
    return {
        "format": FORMAT,
        "reference": report.reference,
        "runners": list(report.runners),
        "num_clips": report.num_clips,
        "normalization": report.normalization,
        "bootstrap": asdict(report.bootstrap),
        "outputs": {
            runner: {name: metrics.to_json() for name, metrics in outputs.items()}
            for runner, outputs in report.outputs.items()
        },
        "nonfinite": {runner: list(clips) for runner, clips in report.nonfinite.items()},
        "rejected": dict(report.rejected),
        "quiet": dict(report.quiet),
        "overall": None if report.overall is None else _stratum_to_json(report.overall),
        "strata": [_stratum_to_json(stratum) for stratum in report.strata],
        "worst_clips": [clip.clip_id for clip in report.worst()],
        "clips": [_clip_to_json(clip) for clip in report.clips],
        "feeds_sha256": report.feeds_sha256,
        "reference_sha256": report.reference_sha256,
        "clip_outputs": [
            {
                "id": clip.clip_id,
                "runners": {
                    runner: {name: metrics.to_json() for name, metrics in outputs.items()}
                    for runner, outputs in clip.outputs.items()
                },
            }
            for clip in report.clip_outputs
        ],
    }


def report_from_json(value: Any, *, source: str) -> AccuracyReport:
    """Make the report of what `report_to_json` gave.

    Raises
    ------
    ReportError : the value is of another kind, or damaged.
    """
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ReportError(f'{source} is not an accuracy report: it lacks "format": "{FORMAT}"')
    try:
        report = AccuracyReport(
            runners=tuple(map(str, value["runners"])),
            num_clips=int(value["num_clips"]),
            rejected={str(clip): str(reason) for clip, reason in value["rejected"].items()},
            quiet={str(clip): float(peak) for clip, peak in value.get("quiet", {}).items()},
            outputs={
                runner: {name: OutputMetrics.from_json(metrics) for name, metrics in outputs.items()}
                for runner, outputs in value["outputs"].items()
            },
            overall=None if value["overall"] is None else _stratum_from_json(value["overall"]),
            strata=tuple(_stratum_from_json(stratum) for stratum in value["strata"]),
            clips=tuple(_clip_from_json(clip) for clip in value["clips"]),
            feeds_sha256=str(value["feeds_sha256"]),
            reference_sha256=str(value.get("reference_sha256", "")),
            clip_outputs=tuple(
                ClipOutputs(
                    str(clip["id"]),
                    {
                        runner: {name: OutputMetrics.from_json(metrics) for name, metrics in outputs.items()}
                        for runner, outputs in clip["runners"].items()
                    },
                )
                for clip in value["clip_outputs"]
            ),
            nonfinite={runner: tuple(map(str, clips)) for runner, clips in value["nonfinite"].items()},
            normalization=str(value["normalization"]),
            bootstrap=BootstrapConfig(**value["bootstrap"]),
        )
        _check_runners(report)
        return report
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ReportError(f"{source} is a damaged accuracy report: {error!r}") from error


def _check_runners(report: AccuracyReport) -> None:
    """See that each part is about the same runners."""
    if not report.runners or len(set(report.runners)) < len(report.runners):
        raise ValueError(f"the runners are {list(report.runners)}")
    overall = () if report.overall is None else (report.overall,)
    whole = [stratum.runners for stratum in (*overall, *report.strata)]
    for found in (*whole, *(clip.hypotheses for clip in report.clips)):
        if tuple(found) != report.runners:
            raise ValueError(f"a part is about {list(found)}, and the runners are {list(report.runners)}")
    for outputs in (report.outputs, *(clip.outputs for clip in report.clip_outputs)):
        if unknown := set(outputs) - set(report.candidates):
            raise ValueError(f"outputs are of {sorted(unknown)}, and not of {list(report.candidates)}")
    for ids in (report.clips, report.clip_outputs):
        if len({clip.clip_id for clip in ids}) < len(ids):
            raise ValueError("a clip comes twice")


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _interval_to_json(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _interval_from_json(value: Any) -> Interval | None:
    if value is None:
        return None
    low, high = (float(end) for end in value)
    if not low <= high < math.inf:
        raise ValueError(f"an interval is {value}")
    return Interval(low, high)


def _rate_to_json(rate: ErrorRate) -> dict[str, Any]:
    return {
        "rate": _finite(rate.rate),
        "ci": _interval_to_json(rate.interval),
        "errors": rate.counts.num_errors,
        "num_reference": rate.counts.num_reference,
        **rate.counts.to_json(),
    }


def _rate_from_json(value: Mapping[str, Any]) -> ErrorRate:
    return ErrorRate(ErrorCounts.from_json(value), _interval_from_json(value["ci"]))


def _increase_to_json(increase: Increase | None) -> dict[str, Any] | None:
    if increase is None:
        return None
    return {
        "rate": _finite(increase.rate),
        "ci": _interval_to_json(increase.interval),
        "p_value": increase.p_value,
    }


def _increase_from_json(value: Mapping[str, Any] | None) -> Increase | None:
    if value is None:
        return None
    rate = math.nan if value["rate"] is None else float(value["rate"])
    return Increase(rate, _interval_from_json(value["ci"]), float(value["p_value"]))


def _stratum_to_json(stratum: Stratum) -> dict[str, Any]:
    return {
        "factor": stratum.factor,
        "value": stratum.value,
        "num_clips": stratum.num_clips,
        "num_words": stratum.num_words,
        "runners": {
            name: {
                "wer": _rate_to_json(result.wer),
                "cer": _rate_to_json(result.cer),
                "wer_increase": _increase_to_json(result.wer_increase),
            }
            for name, result in stratum.runners.items()
        },
    }


def _stratum_from_json(value: Mapping[str, Any]) -> Stratum:
    return Stratum(
        factor=str(value["factor"]),
        value=str(value["value"]),
        num_clips=int(value["num_clips"]),
        runners={
            name: Recognition(
                wer=_rate_from_json(result["wer"]),
                cer=_rate_from_json(result["cer"]),
                wer_increase=_increase_from_json(result["wer_increase"]),
            )
            for name, result in value["runners"].items()
        },
    )


def _clip_to_json(clip: ClipResult) -> dict[str, Any]:
    return {
        "id": clip.clip_id,
        "reference": clip.reference,
        "strata": dict(clip.strata),
        "runners": {
            name: {
                "hypothesis": row.text,
                "errors": row.words.num_errors,
                "words": row.words.to_json(),
                "characters": row.characters.to_json(),
            }
            for name, row in clip.hypotheses.items()
        },
    }


def _clip_from_json(value: Mapping[str, Any]) -> ClipResult:
    return ClipResult(
        clip_id=str(value["id"]),
        reference=str(value["reference"]),
        strata={str(factor): str(entry) for factor, entry in value["strata"].items()},
        hypotheses={
            name: ClipHypothesis(
                text=str(row["hypothesis"]),
                words=ErrorCounts.from_json(row["words"]),
                characters=ErrorCounts.from_json(row["characters"]),
            )
            for name, row in value["runners"].items()
        },
    )
