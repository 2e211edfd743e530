from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.checks.made import report_of
from trtforge.checks import (
    Baseline,
    CheckConfig,
    Timings,
    github_annotations,
    judge,
    junit_xml,
    markdown_summary,
)
from trtforge.errors import AccuracyError, BaselineError, ConfigError

ERRORS = np.random.default_rng(0).integers(0, 5, 240)
ACCEPTED = Baseline.from_report(report_of(ERRORS))


def worse(count, by=1):
    errors = ERRORS.copy()
    errors[:count] += by
    return errors


def test_unchanged_passes_and_says_what_it_can_tell():
    result = judge(ACCEPTED, report_of(ERRORS))
    assert (result.verdict, result.exit_status) == ("pass", 0)
    assert [finding.name for finding in result.findings] == ["WER", "SNR of logits"]
    result.require()
    assert (
        "pass: WER 21.38 %, baseline 21.38 %: 0.00 points worse, 0.00 points allowed, "
        "less than 0.50 points on 240 clips" in str(result)
    )


def test_a_regression_fails_with_the_clips_that_show_it():
    result = judge(ACCEPTED, report_of(worse(20, by=2)))
    assert (result.verdict, result.exit_status) == ("fail", 1)
    with pytest.raises(AccuracyError) as caught:
        result.require()
    message = str(caught.value)
    assert (
        "int8: FAIL\n  FAIL: WER 23.04 %, baseline 21.38 %: 1.67 points worse, 0.00 points allowed, "
        "p = 0.0001 on 240 clips" in message
    )
    assert (
        f"clip-000: {ERRORS[0]} errors then, {ERRORS[0] + 2} now\n    said   said\n    heard  heard"
        in message
    )
    assert "update the baseline and review it" in message


def test_few_clips_are_not_enough_to_tell():
    few = Baseline.from_report(report_of(ERRORS[:24]))
    result = judge(few, report_of(ERRORS[:24]))
    assert (result.verdict, result.exit_status) == ("undecided", 3)
    assert "24 clips do not tell it from 0.50 points; an unchanged one needs about 217" in str(result)
    with pytest.raises(AccuracyError, match="add clips or runs, or ask for a coarser resolution"):
        result.require()


def test_false_alarms_are_shared_out():
    # 7 errors: p = 0.0078, below 0.01 but not below half of it, which is what WER has beside SNR
    assert judge(ACCEPTED, report_of(worse(7))).findings[0].verdict != "fail"
    assert judge(ACCEPTED, report_of(worse(8))).findings[0].verdict == "fail"


def test_outputs_fail_before_words_do():
    result = judge(ACCEPTED, report_of(ERRORS, snr_db=14))
    assert [finding.verdict for finding in result.findings] == ["pass", "fail"]
    assert "SNR of logits 14.0 dB, baseline 20.0 dB: 6.00 dB worse, 1.00 dB allowed" in str(result)


def test_speed_is_judged_where_both_have_times():
    def timings(factor):
        noise = np.random.default_rng(int(factor * 100)).normal(1, 0.002, 30)
        return Timings((10.0,) * 30, tuple(5 * factor * noise))

    timed = Baseline.from_report(report_of(ERRORS), timings=timings(1))
    assert judge(timed, report_of(ERRORS), timings=timings(1.001)).verdict == "pass"
    slow = judge(timed, report_of(ERRORS), timings=timings(1.05))
    assert slow.verdict == "fail"
    assert "speed 0.525 x reference, baseline 0.500 x reference: 4.96 % worse" in str(slow)
    untimed = judge(timed, report_of(ERRORS))
    assert untimed.notes == ("speed was not judged: no timings with the candidate",)
    assert judge(ACCEPTED, report_of(ERRORS), timings=timings(1)).notes == (
        "speed was not judged: no timings in the baseline",
    )


def test_values_that_are_not_finite_fail_whatever_the_words():
    result = judge(ACCEPTED, report_of(ERRORS, nonfinite={"int8": ("clip-003",)}))
    assert (result.verdict, result.findings) == ("fail", ())
    assert "int8 gave values that are not finite on 1 clips, clip-003 first" in str(result)
    assert 'failures="1"' in junit_xml(result)


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (report_of(ERRORS[:200]), "40 of the baseline's 240 clips were not run, 'clip-200' first"),
        (
            report_of(ERRORS[:239], rejected={"clip-239": "bad header"}),
            r"1 of the baseline's 240 clips were not run, 'clip-239' first \(bad header\)",
        ),
        (report_of([*ERRORS, 0]), "1 of 241 clips are not in the baseline, 'clip-240' first"),
        (report_of(ERRORS, feeds_sha256="b" * 64), "measured on other audio or features"),
        (
            report_of(ERRORS, normalization="upper"),
            "texts are normalised by 'upper', in the baseline by 'lower",
        ),
        (replace(report_of(ERRORS), clips=(), overall=None, clip_outputs=()), "says nothing of single clips"),
    ],
)
def test_what_was_measured_on_something_else_is_refused(report, message):
    with pytest.raises((BaselineError, ValueError), match=message):
        judge(ACCEPTED, report)


def test_what_the_baseline_has_and_the_candidate_lacks_is_an_error():
    outputs_only = replace(report_of(ERRORS), clips=(), overall=None)
    words_only = replace(report_of(ERRORS), clip_outputs=())
    with pytest.raises(BaselineError, match="the baseline has word errors, and nothing was decoded now"):
        judge(ACCEPTED, outputs_only)
    with pytest.raises(
        BaselineError, match="has the SNR of output 'logits', and the candidate has no such output"
    ):
        judge(ACCEPTED, words_only)
    more = judge(Baseline.from_report(words_only), report_of(ERRORS))
    assert [finding.name for finding in more.findings] == ["WER"]
    assert more.notes == ("SNR of logits was not judged: the baseline has none",)
    more = judge(Baseline.from_report(outputs_only), report_of(ERRORS))
    assert [finding.name for finding in more.findings] == ["SNR of logits"]
    assert more.notes == ("WER was not judged: the baseline has no texts",)


def test_another_reference_and_other_texts_of_as_many_words_are_refused():
    of_one = Baseline.from_report(report_of(ERRORS, reference_sha256="1" * 64))
    assert judge(of_one, report_of(ERRORS, reference_sha256="1" * 64)).verdict == "pass"
    with pytest.raises(
        BaselineError, match="reference is another network: the baseline's has digest 111111111111"
    ):
        judge(of_one, report_of(ERRORS, reference_sha256="2" * 64))
    report = report_of(ERRORS)
    other = replace(report, clips=(replace(report.clips[0], reference="told"), *report.clips[1:]))
    with pytest.raises(BaselineError, match="the clips have other texts than in the baseline"):
        judge(ACCEPTED, other)


def test_a_reference_that_is_not_finite_fails_and_makes_no_baseline():
    report = report_of(ERRORS, nonfinite={"reference": ("clip-003",)})
    result = judge(ACCEPTED, report)
    assert result.verdict == "fail"
    assert result.faults == ("reference gave values that are not finite on 1 clips, clip-003 first",)
    with pytest.raises(ConfigError, match="reference gave values that are not finite"):
        Baseline.from_report(report)


def test_junit_xml_counts_and_holds_any_text():
    found = judge(ACCEPTED, report_of(worse(20, by=2)))
    root = ElementTree.fromstring(junit_xml(replace(found, candidate="a<b>&\x00\x1b[0m\ufffe\uffff\ud800")))  # noqa: S314 - our own
    suite = root.find("testsuite")
    assert {key: suite.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "2", "failures": "1", "errors": "0",
    }  # fmt: skip
    cases = suite.findall("testcase")
    assert [(case.get("classname"), case.get("name"), len(case)) for case in cases] == [
        ("a<b>&[0m", "WER", 1),
        ("a<b>&[0m", "SNR of logits", 0),
    ]
    assert "1.67 points worse" in cases[0].find("failure").get("message")


def test_annotations_are_single_lines_of_escaped_text():
    found = judge(ACCEPTED, report_of(worse(20, by=2)))
    (line,) = github_annotations(found, file="a,b.json")
    assert line.startswith("::error file=a%2Cb.json,title=int8%3A WER::WER 23.04 %25, baseline")
    few = judge(Baseline.from_report(report_of([0])), report_of([0]))
    assert [line.split(" ")[0] for line in github_annotations(few)] == ["::warning", "::warning"]
    assert github_annotations(judge(ACCEPTED, report_of(ERRORS))) == []


def test_the_summary_is_a_table_that_hypotheses_cannot_break():
    found = judge(ACCEPTED, report_of(worse(20, by=2)))
    clip = replace(found.worse_clips[0], reference="$5 to $10", hypothesis="a | <b> `c` ~~d~~")
    text = markdown_summary(replace(found, worse_clips=(clip,)))
    assert "### int8: FAIL" in text
    assert "| WER | **FAIL** | 23.04 % | 21.38 % | 1.67 points | 0.00 points | 0.50 points | 240 |" in text
    assert r"| <span>$</span>5 to <span>$</span>10 | a \| &lt;b> \`c\` \~\~d\~\~ |" in text
    assert "At most 1 % of checks fail where nothing exceeds its budget" in text


def test_the_result_as_json_names_the_settings():
    value = judge(ACCEPTED, report_of(ERRORS), CheckConfig(wer_budget=0.01)).to_json()
    assert (value["verdict"], value["config"]["wer_budget"]) == ("pass", 0.01)
    assert value["findings"][0]["message"].startswith("WER 21.38 %, baseline 21.38 %")


def test_times_of_another_gpu_are_refused_and_those_of_another_driver_are_not():
    times = Timings((10.0,) * 8, (5.0,) * 8)
    there = {"gpu": "NVIDIA L4 (compute capability 8.9, 22 GiB, driver 550.1)"}
    accepted = Baseline.from_report(report_of(ERRORS), timings=times, environment=there)
    with pytest.raises(BaselineError, match="its GPU was NVIDIA L4, this one is NVIDIA A10") as told:
        judge(accepted, report_of(ERRORS), timings=times, timed_on="NVIDIA A10 (compute capability 8.6)")
    assert "measure the baseline on this machine" in told.value.hint
    for here in (None, "NVIDIA L4 (compute capability 8.9, 22 GiB, driver 580.1)"):
        judged = judge(accepted, report_of(ERRORS), timings=times, timed_on=here)
        assert "speed" in [finding.name for finding in judged.findings]
    # Without times it does not matter.
    assert judge(accepted, report_of(ERRORS), timed_on="NVIDIA A10").findings


def test_of_several_candidates_the_last_is_judged_and_the_others_are_named():
    report = report_of(ERRORS)
    both = replace(report, runners=("reference", "fp16", "int8"))
    note = "of the report's runners only the last was judged, not fp16"
    assert judge(ACCEPTED, both).notes == (note,)
    assert judge(ACCEPTED, both, runner="int8").notes == ()
    assert judge(ACCEPTED, report).notes == ()
