"""Hold a report against a baseline."""

from __future__ import annotations

from trtforge.accuracy import AccuracyReport
from trtforge.checks.baseline import Baseline
from trtforge.checks.config import CheckConfig
from trtforge.checks.decision import Finding, judge_snr, judge_speed, judge_words
from trtforge.checks.result import CheckResult, WorseClip
from trtforge.checks.strata import judge_strata
from trtforge.checks.timings import Timings
from trtforge.errors import BaselineError

_MOST_CLIPS = 10


def judge(
    baseline: Baseline,
    report: AccuracyReport,
    config: CheckConfig | None = None,
    *,
    runner: str | None = None,
    timings: Timings | None = None,
    timed_on: str | None = None,
) -> CheckResult:
    """Say whether a runner got worse than a baseline.

    Judged are the word error rate, where asked for that of each stratum (`judge_strata`), the SNR of each
    output, and the speed, each where baseline and report have it; all clip by clip against the baseline's own
    values, and with an equal share of the false-alarm rate (C. Bonferroni: shares that sum to the whole hold
    it, however the findings hang together). All strata have one share.

    Parameters
    ----------
    baseline : what was accepted.
    report : an evaluation of the candidate on the same clips, with the same reference.
    config : budgets and error rates.
    runner : the candidate; the report's last runner by default.
    timings : of the reference and the candidate.
    timed_on : the GPU that they were taken on, as `trtforge.pipeline.reporting.environment` names it; None
        where that is not known.

    Raises
    ------
    BaselineError : the baseline is of other clips, other texts, another normalisation or another reference,
        has what the report lacks: word errors, or an output; or its times are of another GPU.
    ConfigError : there is no such runner.
    """
    config = config or CheckConfig()
    name = report.runners[-1] if runner is None else runner
    faults = tuple(
        f"{each} gave values that are not finite on {len(bad)} clips, {bad[0]} first"
        for each in dict.fromkeys((name, report.reference))
        if (bad := report.nonfinite.get(each))
    )
    if faults:
        return CheckResult(name, (), faults=faults, config=config)
    now = Baseline.from_report(report, runner=name, timings=timings)
    _check_same(baseline, now, report)
    pairs = [(baseline.clips[clip_id], clip) for clip_id, clip in now.clips.items()]
    has_words = any(then.words for then, _ in pairs)
    outputs = baseline.outputs
    has_times = bool(baseline.ratios and now.ratios)
    if has_times:
        _check_same_gpu(baseline.environment.get("gpu"), timed_on)
    strata = {clip.clip_id: clip.strata for clip in report.clips}
    has_strata = has_words and config.stratum_wer_budget is not None and any(strata.values())
    num_judged = has_words + has_strata + len(outputs) + has_times
    if not num_judged:
        raise BaselineError(
            "baseline and report have no quantity in common: no words, no output and no times",
            hint="measure the baseline again, in the way the candidate is measured",
        )
    share = config.false_alarm_rate / num_judged
    findings: list[Finding] = []
    if has_words:
        errors = ([then.errors or 0 for then, _ in pairs], [clip.errors or 0 for _, clip in pairs])
        words = [clip.words or 0 for _, clip in pairs]
        findings.append(judge_words(*errors, words, config, false_alarm_rate=share))
    if has_strata:
        findings += judge_strata(baseline.clips, now.clips, strata, config, false_alarm_rate=share)
    for output in outputs:
        before, after = zip(*((x.snr_db[output], y.snr_db[output]) for x, y in pairs), strict=True)
        findings.append(judge_snr(before, after, config, name=f"SNR of {output}", false_alarm_rate=share))
    if has_times:
        findings.append(judge_speed(baseline.ratios, now.ratios, config, false_alarm_rate=share))
    return CheckResult(
        name,
        tuple(findings),
        worse_clips=_worse_clips(baseline, report, name),
        notes=_notes(baseline, now, config, has_strata=has_strata) + _others(report, runner),
        config=config,
    )


def _check_same(baseline: Baseline, now: Baseline, report: AccuracyReport) -> None:
    hint = "if the change is meant, measure the baseline again and review it"
    missing = [clip_id for clip_id in baseline.clips if clip_id not in now.clips]
    if missing:
        why = report.rejected.get(missing[0])
        raise BaselineError(
            f"{len(missing)} of the baseline's {len(baseline.clips)} clips were not run, {missing[0]!r} first"
            + (f" ({why})" if why else ""),
            hint=hint,
        )
    added = [clip_id for clip_id in now.clips if clip_id not in baseline.clips]
    if added:
        raise BaselineError(
            f"{len(added)} of {len(now.clips)} clips are not in the baseline, {added[0]!r} first", hint=hint
        )
    if baseline.feeds_sha256 != now.feeds_sha256:
        raise BaselineError(
            "the baseline was measured on other audio or features: its feeds have digest "
            f"{baseline.feeds_sha256[:12]}, these {now.feeds_sha256[:12]}",
            hint=hint,
        )
    if baseline.reference_sha256 and now.reference_sha256 not in ("", baseline.reference_sha256):
        raise BaselineError(
            f"the reference is another network: the baseline's has digest {baseline.reference_sha256[:12]}, "
            f"this one {now.reference_sha256[:12]}",
            hint=hint,
        )
    if baseline.normalization != now.normalization:
        raise BaselineError(
            f"texts are normalised by {now.normalization!r}, in the baseline by {baseline.normalization!r}",
            hint=hint,
        )
    if baseline.texts_sha256 and not now.texts_sha256:
        raise BaselineError(
            "the baseline has word errors, and nothing was decoded now",
            hint="evaluate the candidate on clips with texts, by a network that says how its output is read",
        )
    for clip_id, clip in now.clips.items():
        then = baseline.clips[clip_id].words
        if then != clip.words and None not in (then, clip.words):
            raise BaselineError(f"clip {clip_id!r} has {clip.words} words, in the baseline {then}", hint=hint)
    if baseline.texts_sha256 not in ("", now.texts_sha256):
        raise BaselineError("the clips have other texts than in the baseline", hint=hint)
    for output in baseline.outputs:
        if output not in now.outputs:
            raise BaselineError(
                f"the baseline has the SNR of output {output!r}, and the candidate has no such output",
                hint=hint,
            )


def _check_same_gpu(then: str | None, now: str | None) -> None:
    # Of one product, the driver may differ: whether that made it slower is what is asked.
    names = [text.partition(" (")[0] for text in (then, now) if text]
    if len(names) == 2 and names[0] != names[1]:
        raise BaselineError(
            f"the baseline's times are of another machine: its GPU was {names[0]}, this one is {names[1]}",
            hint="measure the baseline on this machine, or check without times",
        )


def _others(report: AccuracyReport, runner: str | None) -> tuple[str, ...]:
    others = ", ".join(report.candidates[:-1]) if runner is None else ""
    return (f"of the report's runners only the last was judged, not {others}",) if others else ()


def _worse_clips(baseline: Baseline, report: AccuracyReport, name: str) -> tuple[WorseClip, ...]:
    worse = [
        WorseClip(
            clip.clip_id,
            then,
            clip.hypotheses[name].words.num_errors,
            clip.reference,
            clip.hypotheses[name].text,
        )
        for clip in report.clips
        if (then := baseline.clips[clip.clip_id].errors) is not None
        and clip.hypotheses[name].words.num_errors > then
    ]
    worse.sort(key=lambda clip: (clip.baseline_errors - clip.errors, clip.clip_id))
    return tuple(worse[:_MOST_CLIPS])


def _notes(baseline: Baseline, now: Baseline, config: CheckConfig, *, has_strata: bool) -> tuple[str, ...]:
    notes = []
    if config.stratum_wer_budget is not None and not has_strata:
        notes.append("strata were not judged: the clips have none, or no words")
    if bool(baseline.ratios) != bool(now.ratios):
        where = "in the baseline" if now.ratios else "with the candidate"
        notes.append(f"speed was not judged: no timings {where}")
    if now.texts_sha256 and not baseline.texts_sha256:
        notes.append("WER was not judged: the baseline has no texts")
    notes += [
        f"SNR of {output} was not judged: the baseline has none"
        for output in now.outputs
        if output not in baseline.outputs
    ]
    return tuple(notes)
