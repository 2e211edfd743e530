import json
from dataclasses import replace

import pytest

from tests.checks.made import report_of
from trtforge.checks import Baseline, Timings, time_side_by_side
from trtforge.errors import BaselineError, ConfigError, InputError, ReportError

TIMINGS = Timings((10.0,) * 8, tuple(5 + 0.1 * index for index in range(8)))


def test_a_baseline_reads_well_and_comes_back(tmp_path):
    baseline = Baseline.from_report(
        report_of([0, 2, 1], snr_db=[20, 25, 30]), timings=TIMINGS, environment={"gpu": "none"}
    )
    baseline.save(tmp_path / "asr.json")
    text = (tmp_path / "asr.json").read_text()
    assert '\n    {"id": "clip-001", "words": 10, "errors": 2, "snr_db": {"logits": 25.0}},\n' in text
    value = json.loads(text)
    assert value["measured_on"]["num_clips"] == 3
    assert value["metrics"]["wer"]["rate"] == 0.1
    assert value["metrics"]["snr_db"]["logits"] == {"mean": 25.0, "p5": 20.5, "p50": 25.0, "p95": 29.5}
    assert value["metrics"]["time_by_reference"]["p50"] == 0.535
    assert Baseline.load(tmp_path / "asr.json") == baseline


def test_an_output_without_any_difference_has_a_finite_snr():
    assert Baseline.from_report(report_of([0], snr_db=500)).clips["clip-000"].snr_db == {"logits": 120.0}


def test_what_cannot_be_a_baseline_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no runner 'fp8' in this report"):
        Baseline.from_report(report_of([0]), runner="fp8")
    with pytest.raises(
        ConfigError, match="int8 gave values that are not finite on 1 clips, 'clip-000' first"
    ):
        Baseline.from_report(report_of([0], nonfinite={"int8": ("clip-000",)}))
    with pytest.raises(ConfigError, match="says nothing of single clips for int8"):
        Baseline.from_report(replace(report_of([0]), clips=(), clip_outputs=()))
    with pytest.raises(BaselineError, match="no baseline at"):
        Baseline.load(tmp_path / "none.json")
    with pytest.raises(
        BaselineError, match=r'value is no baseline: it lacks "format": "trtforge\.baseline/1"'
    ):
        Baseline.from_json({"format": "other"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("clips", []),
        ("clips", [{"id": "a", "words": 1, "errors": -1}]),
        ("clips", [{"id": "a", "snr_db": {"logits": float("inf")}}]),
        ("ratios", [0]),
        ("measured_on", {}),
    ],
)
def test_a_damaged_baseline_is_refused(key, value):
    whole = Baseline.from_report(report_of([0, 1])).to_json()
    with pytest.raises(BaselineError, match="damaged baseline"):
        Baseline.from_json({**whole, key: value})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"snr_db": {}}, "clip-001 and the first clip differ in outputs: logits"),
        ({"snr_db": {"logits": 20.0, "other": 20.0}}, "differ in outputs: other"),
        ({"snr_db": {"logits": -1e300}}, "an SNR of clip-001 is not within 120 dB"),
        ({"errors": 1.7}, "a count of clip-001 is no whole number"),
        ({"errors": True}, "a count of clip-001 is no whole number"),
    ],
)
def test_a_clip_that_was_edited_is_refused(changed, message):
    whole = Baseline.from_report(report_of([0, 1, 0])).to_json()
    whole["clips"][1] |= changed
    with pytest.raises(BaselineError, match=message):
        Baseline.from_json(whole)


@pytest.mark.parametrize("edited", [slice(1, 2), slice(None)])
def test_clips_whose_words_were_taken_out_are_refused(edited):
    whole = Baseline.from_report(report_of([0, 1, 0])).to_json()
    for row in whole["clips"][edited]:
        del row["words"], row["errors"]
    with pytest.raises(BaselineError, match="lacks words, and texts_sha256 says otherwise"):
        Baseline.from_json(whole)


def test_an_output_that_only_some_clips_have_is_left_out():
    report = report_of([0, 1])
    first, second = report.clip_outputs
    metrics = first.outputs["int8"]["logits"]
    more = replace(first, outputs={"int8": {"state": metrics, "logits": metrics}})
    baseline = Baseline.from_report(replace(report, clip_outputs=(more, second)))
    assert baseline.outputs == ("logits",)
    assert Baseline.from_json(baseline.to_json()) == baseline


def test_timings_come_back_and_damaged_ones_are_refused(tmp_path):
    TIMINGS.save(tmp_path / "t.json")
    assert Timings.load(tmp_path / "t.json") == TIMINGS
    assert TIMINGS.ratios[1] == pytest.approx(0.51)
    (tmp_path / "t.json").write_text(
        '{"format": "trtforge.timings/1", "reference_ms": [1], "candidate_ms": []}'
    )
    with pytest.raises(ReportError, match="damaged timings: InputError"):
        Timings.load(tmp_path / "t.json")
    (tmp_path / "t.json").write_text("{}")
    with pytest.raises(ReportError, match="holds no timings"):
        Timings.load(tmp_path / "t.json")
    with pytest.raises(InputError, match="not a positive number of milliseconds"):
        Timings((1.0,), (0.0,))


def test_a_run_counts_once_however_many_rounds_it_has():
    disturbed = Timings((10.0, 10.0, 30.0), (5.0, 5.0, 90.0))
    assert Timings.of_runs([disturbed, TIMINGS]).ratios == (0.5, pytest.approx(0.535))
    with pytest.raises(InputError, match="for every round or run"):
        Timings.of_runs([])


def test_runners_take_turns_and_each_goes_first_as_often():
    calls = []
    timings = time_side_by_side(
        lambda: calls.append("reference"), lambda: calls.append("candidate"), num_rounds=4, num_warmup=2
    )
    assert len(timings.ratios) == 4
    assert len(calls) == 12
    assert sorted(calls[::2]) == ["candidate"] * 3 + ["reference"] * 3
    with pytest.raises(ConfigError, match="num_rounds must be 1 or more"):
        time_side_by_side(print, print, num_rounds=0)
