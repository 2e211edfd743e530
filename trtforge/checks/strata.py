"""Judge the word errors of each stratum by itself, with a correction for looking at many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from trtforge.checks.baseline import BaselineClip
from trtforge.checks.config import CheckConfig
from trtforge.checks.decision import Finding, decide, judge_words


def judge_strata(
    baseline: Mapping[str, BaselineClip],
    candidate: Mapping[str, BaselineClip],
    strata: Mapping[str, Mapping[str, str]],
    config: CheckConfig,
    *,
    false_alarm_rate: float,
) -> tuple[Finding, ...]:
    """Judge every stratum that has enough clips and words.

    The more strata are looked at, the likelier one of them looks worse by chance. So the smallest p-value
    must be below the rate by the number of strata, the next one below the rate by one less, and so on until
    the first that is not: whatever the strata have in common, at most ``false_alarm_rate`` of checks then
    fail for a stratum that is within its budget. To pass, each must be shown to be within, which needs no
    correction.

    Parameters
    ----------
    baseline, candidate : clip id to what was made of it, then and now; the same clips.
    strata : clip id to factor to the clip's value.
    config : budgets and error rates; judged is by ``stratum_wer_budget`` and ``stratum_wer_resolution``.
    false_alarm_rate : of all strata together.

    Returns
    -------
    A finding for each, named ``WER of factor=value``, in the order in which strata first occur; none where no
    budget is set.

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6,
    1979.
    """
    if config.stratum_wer_budget is None:
        return ()
    own = replace(config, wer_budget=config.stratum_wer_budget, wer_resolution=config.stratum_wer_resolution)
    groups: dict[str, list[str]] = {}
    for clip_id in candidate:
        for factor, value in strata.get(clip_id, {}).items():
            groups.setdefault(f"{factor}={value}", []).append(clip_id)
    findings = [
        replace(_judge(ids, baseline, candidate, own, false_alarm_rate / len(groups)), name=f"WER of {name}")
        for name, ids in groups.items()
        if len(ids) >= config.min_stratum_clips and any(candidate[clip_id].words for clip_id in ids)
    ]
    return holm(findings, config, false_alarm_rate=false_alarm_rate)


def holm(findings: Sequence[Finding], config: CheckConfig, *, false_alarm_rate: float) -> tuple[Finding, ...]:
    """Decide on findings together, so that the rate holds for all of them (S. Holm, 1979)."""
    verdicts = {}
    rate = false_alarm_rate
    by_p = sorted(range(len(findings)), key=lambda index: findings[index].p_worse)
    for place, index in enumerate(by_p):
        rate = false_alarm_rate / (len(findings) - place) if rate else 0.0
        finding = findings[index]
        if finding.p_worse > rate:
            rate = 0.0  # whatever comes after it is not shown either
        verdicts[index] = decide(
            finding.p_worse, finding.p_within, false_alarm_rate=rate, miss_rate=config.miss_rate
        )
    return tuple(replace(finding, verdict=verdicts[index]) for index, finding in enumerate(findings))


def _judge(
    ids: Sequence[str],
    baseline: Mapping[str, BaselineClip],
    candidate: Mapping[str, BaselineClip],
    config: CheckConfig,
    share: float,
) -> Finding:
    return judge_words(
        [baseline[clip_id].errors or 0 for clip_id in ids],
        [candidate[clip_id].errors or 0 for clip_id in ids],
        [candidate[clip_id].words or 0 for clip_id in ids],
        config,
        false_alarm_rate=share,
    )
