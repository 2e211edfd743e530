"""Hold an accuracy report against a budget."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trtforge.accuracy.summary import Increase, Recognition, Stratum
from trtforge.errors import AccuracyError, ConfigError

if TYPE_CHECKING:
    from trtforge.accuracy.report import AccuracyReport

# A rate is a ratio of counts; anything below this is rounding, not a word.
_ROUNDING = 1e-9


def check_requirement(
    report: AccuracyReport,
    wer_increase: float,
    stratum_wer_increase: float,
    min_clips: int,
    runner: str | None,
) -> None:
    """Raise if a candidate exceeds a budget; see `AccuracyReport.require`."""
    for name, budget in (("wer_increase", wer_increase), ("stratum_wer_increase", stratum_wer_increase)):
        if not math.isfinite(budget):
            raise ConfigError(f"{name} must be a fraction such as 0.01 for one point, got {budget}")
    candidates = report.candidates if runner is None else (runner,)
    if not candidates or any(name not in report.candidates for name in candidates):
        raise ConfigError(
            f"no candidate {runner or ''!r} to judge; this report has {list(report.candidates)} "
            f"beside the reference {report.reference!r}"
        )
    if report.overall is None:
        raise ConfigError(
            "no word error rates to judge: the evaluation decoded nothing",
            hint="pass decode and references to evaluate",
        )
    if report.overall.num_words == 0:
        raise ConfigError("no word error rate to judge: the references hold no words")
    problems: list[str] = []
    exceeded: list[Stratum] = []
    for name in candidates:
        bad = sorted({clip for key in (name, report.reference) for clip in report.nonfinite.get(key, ())})
        if bad:
            problems.append(f"{name} or its reference gave values that are not finite on {_some(bad)}")
        if _increase(report.overall, name) > wer_increase + _ROUNDING:
            problems.append(_describe(report, report.overall, name, wer_increase))
        judged = [x for x in report.strata if x.num_clips >= min_clips and x.num_words]
        if judged:
            worst = max(judged, key=lambda stratum: _increase(stratum, name))
            if _increase(worst, name) > stratum_wer_increase + _ROUNDING:
                exceeded.append(worst)
                problems.append("worst stratum: " + _describe(report, worst, name, stratum_wer_increase))
    if problems:
        raise AccuracyError("; ".join(problems), hint=_hint(exceeded))


def _increase(stratum: Stratum, runner: str) -> float:
    return _wer_increase(stratum.runners[runner]).rate


def _wer_increase(result: Recognition) -> Increase:
    return result.wer_increase or Increase(0.0, None)


def _describe(report: AccuracyReport, stratum: Stratum, runner: str, budget: float) -> str:
    result = stratum.runners[runner]
    before, after, increase = stratum.runners[report.reference].wer, result.wer, _wer_increase(result)
    where = "overall" if stratum is report.overall else f"on {stratum}"
    interval = ""
    if increase.interval is not None:
        interval = (
            f", {100 * report.bootstrap.confidence:g} % interval {100 * increase.interval.low:+.2f} "
            f"to {100 * increase.interval.high:+.2f}"
        )
    return (
        f"{runner} {where} has {100 * increase.rate:.2f} points more WER than {report.reference}, "
        f"{100 * budget:.2f} are allowed ({100 * before.rate:.2f} % to {100 * after.rate:.2f} %, "
        f"{before.counts.num_errors} to {after.counts.num_errors} errors in {stratum.num_words} words of "
        f"{stratum.num_clips} clips{interval})"
    )


def _some(clips: list[str]) -> str:
    shown = ", ".join(clips[:3])
    return f"{len(clips)} clips ({shown}{', ...' if len(clips) > 3 else ''})"


def _hint(exceeded: list[Stratum]) -> str:
    if exceeded:
        names = ", ".join(dict.fromkeys(map(str, exceeded)))
        return f"see whether the calibration set covers {names}, or keep the most sensitive layers in FP16"
    return (
        "read the worst clips (AccuracyReport.worst), then try another threshold method or more FP16 layers"
    )
