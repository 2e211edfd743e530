from dataclasses import replace

import numpy as np
import pytest

from tests.checks.made import report_of
from trtforge.checks import Baseline, CheckConfig, judge, judge_words
from trtforge.checks.strata import holm
from trtforge.errors import ConfigError

NOISES = ["babble"] * 120 + ["none"] * 120
THEN = [2] * 240
CONFIG = CheckConfig(wer_resolution=0.05, stratum_wer_budget=0.0, stratum_wer_resolution=0.05)


def baseline(strata=NOISES):
    return Baseline.from_report(report_of(THEN, strata=strata))


def test_what_one_stratum_loses_and_another_gains_is_found():
    now = [3] * 20 + [2] * 100 + [1] * 20 + [2] * 100
    report = report_of(now, strata=NOISES)
    assert judge(baseline(), report, replace(CONFIG, stratum_wer_budget=None)).verdict == "pass"
    result = judge(baseline(), report, CONFIG)
    assert [(finding.name, finding.verdict) for finding in result.findings] == [
        ("WER", "pass"),
        ("WER of noise=babble", "fail"),
        ("WER of noise=none", "pass"),
        ("SNR of logits", "pass"),
    ]
    assert "FAIL: WER of noise=babble 21.67 %, baseline 20.00 %: 1.67 points worse" in str(result)
    assert judge(baseline(), report, replace(CONFIG, stratum_wer_budget=0.03)).verdict == "pass"


def test_small_strata_are_left_out_and_clips_without_any_are_told():
    few = ["babble"] * 29 + ["none"] * 211
    result = judge(baseline(few), report_of(THEN, strata=few), CONFIG)
    assert [finding.name for finding in result.findings][1:-1] == ["WER of noise=none"]
    untold = judge(Baseline.from_report(report_of(THEN)), report_of(THEN), CONFIG)
    assert untold.notes == ("strata were not judged: the clips have none, or no words",)


def test_many_strata_are_corrected_for_step_by_step():
    finding = judge_words([2] * 9, [2] * 9, [10] * 9, CONFIG)
    found = [replace(finding, p_worse=value, p_within=1.0) for value in (0.02, 0.004, 0.5, 0.0031)]
    # 0.01 / 4 is below 0.0031: the first step fails, and all after it
    assert [one.verdict for one in holm(found, CONFIG, false_alarm_rate=0.01)] == ["undecided"] * 4
    # 0.0031 <= 0.02 / 4, 0.004 <= 0.02 / 3, 0.02 > 0.02 / 2
    verdicts = [one.verdict for one in holm(found, CONFIG, false_alarm_rate=0.02)]
    assert verdicts == ["undecided", "fail", "undecided", "fail"]
    assert holm([], CONFIG, false_alarm_rate=0.01) == ()


def test_unchanged_strata_seldom_fail():
    generator = np.random.default_rng(0)
    strata = [f"kind-{index % 6}" for index in range(240)]
    failed = 0
    for _ in range(15):
        then, now = (2 + generator.integers(-1, 2, 240) for _ in range(2))
        accepted = Baseline.from_report(report_of(then, strata=strata))
        result = judge(accepted, report_of(now, strata=strata), CONFIG)
        failed += any(finding.verdict == "fail" for finding in result.findings)
    assert failed <= 1


def test_budgets_of_strata_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="stratum_wer_budget must be 0 or more, got -1"):
        CheckConfig(stratum_wer_budget=-1)
    with pytest.raises(ConfigError, match="min_stratum_clips must be a whole number of 1 or more, got 0"):
        CheckConfig(min_stratum_clips=0)
