import json

import numpy as np
import pytest
from rich.console import Console

from trtforge.accuracy import AccuracyReport, BootstrapConfig, evaluate
from trtforge.errors import AccuracyError, ConfigError, ExecutionError, InputError, ReportError
from trtforge.feeds import ArrayFeeds, Feed

WORDS = ("zero", "one", "two", "three")


class Clips:
    """Feeds of word numbers: the "network" gives one-hot scores, the decoder reads them as words."""

    digest = "0" * 64

    def __init__(self, num_clips=60, num_words=10, batch=4):
        numbers = np.random.default_rng(0).integers(4, size=(num_clips, num_words))
        self.numbers, self.batch = numbers, batch
        self.ids = [f"clip-{index:03d}" for index in range(num_clips)]
        self.references = {
            clip: " ".join(WORDS[n] for n in row) for clip, row in zip(self.ids, numbers, strict=True)
        }
        self.strata = {
            clip: {"noise": "babble" if index % 2 else "none", "rare": "yes" if index < 5 else "no"}
            for index, clip in enumerate(self.ids)
        }

    def __len__(self):
        return len(self.ids)

    def __iter__(self):
        for start in range(0, len(self.ids), self.batch):
            rows = slice(start, start + self.batch)
            ids = tuple(self.ids[rows])
            index = np.arange(start, start + len(ids))
            yield Feed({"x": self.numbers[rows], "index": index}, ids, (self.numbers.shape[1],) * len(ids))


def exact(arrays):
    return {"scores": np.eye(4, dtype=np.float32)[arrays["x"]]}


def broken(condition, num_wrong=1):
    """Get the first words of the clips that fulfil the condition wrong."""

    def run(arrays):
        x = arrays["x"].copy()
        rows = condition(arrays["index"])
        x[rows, :num_wrong] = (x[rows, :num_wrong] + 1) % 4
        return exact({"x": x})

    return run


def decode(outputs, num_frames):
    best = outputs["scores"].argmax(-1)
    return [" ".join(WORDS[n] for n in row[:length]) for row, length in zip(best, num_frames, strict=True)]


def run(candidate, clips=None, **settings):
    clips = clips or Clips()
    return evaluate(
        {"fp32": exact, "int8": candidate},
        clips,
        **{"decode": decode, "references": clips.references, "strata": clips.strata, **settings},
    )


def test_rates_and_counts_overall_and_by_stratum():
    report = run(broken(lambda index: index % 2 == 1))
    assert report.num_clips == 60
    overall = report.overall.runners["int8"]
    assert (overall.wer.counts.num_errors, report.overall.num_words) == (30, 600)
    assert overall.wer.rate == 0.05
    assert overall.wer.interval.low < 0.05 < overall.wer.interval.high
    assert overall.wer_increase.rate == 0.05
    assert report.overall.runners["fp32"].wer_increase is None
    by_name = {str(stratum): stratum for stratum in report.strata}
    assert list(by_name) == ["noise=babble", "noise=none", "rare=no", "rare=yes"]
    assert by_name["noise=babble"].runners["int8"].wer.rate == 0.1
    assert by_name["noise=babble"].runners["int8"].wer_increase.interval.low == pytest.approx(0.1)
    assert by_name["noise=none"].runners["int8"].wer.counts.num_errors == 0
    assert by_name["rare=yes"].num_clips == 5
    assert report.outputs["int8"]["scores"].num_agreeing == 600 - 30


def test_batches_do_not_change_the_numbers():
    candidate = broken(lambda index: index % 7 == 0)
    one, many = (run(candidate, Clips(batch=batch)).to_json() for batch in (1, 16))
    assert one == many


def test_progress_counts_clips():
    seen = []
    run(exact, Clips(10, batch=4), on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(4, 10), (8, 10), (10, 10)]


def test_padding_is_not_compared():
    clips = Clips(8)

    def padded(value):
        def runner(arrays):
            scores = exact(arrays)["scores"]
            return {"scores": np.concatenate([scores, np.full_like(scores, value)], axis=1)}

        return runner

    runners = {"a": padded(0), "b": padded(9)}
    assert evaluate(runners, clips).outputs["b"]["scores"].max_abs_error == 9
    report = evaluate(runners, clips, output_lengths=lambda name, num_frames: num_frames)
    assert report.outputs["b"]["scores"].max_abs_error == 0
    assert report.outputs["b"]["scores"].num_values == 8 * 10 * 4


def test_outputs_must_match():
    with pytest.raises(InputError, match=r"'fp32' gives outputs \['scores'\], 'int8' gives \['logits'\]"):
        run(lambda arrays: {"logits": exact(arrays)["scores"]})
    with pytest.raises(InputError, match=r"shape \[4, 10, 4\] from 'fp32' and \[4, 9, 4\] from 'int8'"):
        run(lambda arrays: {"scores": exact(arrays)["scores"][:, :9]})
    with pytest.raises(InputError, match="'int8' gave no outputs"):
        run(lambda arrays: {})


def nan_on_clip_5(arrays):
    scores = exact(arrays)["scores"]
    scores[arrays["index"] == 5, 3, 0] = np.nan
    return {"scores": scores}


def test_outputs_that_are_not_finite_raise_with_the_clip():
    with pytest.raises(ExecutionError, match="'scores' of runner 'int8' is NaN or infinite for clip-005"):
        run(nan_on_clip_5)


def test_outputs_that_are_not_finite_are_reported_and_fail_the_requirement():
    report = run(nan_on_clip_5, on_nonfinite="report")
    assert report.nonfinite == {"int8": ("clip-005",)}
    assert report.outputs["int8"]["scores"].num_skipped == 1
    row = report.clips[5].hypotheses["int8"]
    assert (row.text, row.words.deletions) == ("", 10)
    with pytest.raises(AccuracyError, match=r"not finite on 1 clips \(clip-005\)"):
        report.require(wer_increase=1, stratum_wer_increase=1)


def test_narrow_floats_are_numbers_like_others():
    narrow = pytest.importorskip("ml_dtypes").bfloat16
    feeds = ArrayFeeds([{"x": np.eye(3, dtype=np.float32)}])
    runners = {
        "fp32": lambda arrays: {"y": arrays["x"]},
        "bf16": lambda arrays: {"y": arrays["x"].astype(narrow)},
    }
    for order in (("fp32", "bf16"), ("bf16", "fp32")):
        (found,) = evaluate({name: runners[name] for name in order}, feeds).outputs.values()
        assert (found["y"].num_positions, found["y"].argmax_agreement) == (3, 1.0)
    runners["bf16"] = lambda arrays: {"y": (arrays["x"] + np.nan).astype(narrow)}
    with pytest.raises(ExecutionError, match="output 'y' of runner 'bf16' is NaN or infinite for batch-0"):
        evaluate(runners, feeds)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "runner 'bad' gave NoneType, and no mapping of output name to array"),
        (np.zeros(3), "runner 'bad' gave ndarray, and no mapping"),
        ({"y": [1j, 2]}, "output 'y' of runner 'bad' is of complex128, and only real numbers are compared"),
        ({"y": ["a", "b"]}, "output 'y' of runner 'bad' is of <U1, and only real numbers"),
        ({"y": [[1, 2], [3]]}, "output 'y' of runner 'bad' is no array of numbers"),
    ],
)
def test_what_is_no_output_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        evaluate({"bad": lambda arrays: given}, ArrayFeeds([{"x": np.zeros(2)}]))


def test_clips_without_reference_or_twice_are_refused():
    clips = Clips(4)
    with pytest.raises(InputError, match="clip 'clip-003' has no reference text"):
        run(exact, clips, references=dict.fromkeys(clips.ids[:3], "one"))
    clips.ids[1] = clips.ids[0]
    with pytest.raises(InputError, match="clip 'clip-000' comes twice"):
        run(exact, clips)


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="no runner to evaluate"):
        evaluate({}, Clips())
    with pytest.raises(ConfigError, match="decode was given without references"):
        evaluate({"a": exact}, Clips(), decode=decode)
    with pytest.raises(ConfigError, match="'raise' or 'report', got 'skip'"):
        run(exact, on_nonfinite="skip")
    with pytest.raises(InputError, match="gave 3 texts for 4 clips"):
        run(exact, decode=lambda outputs, num_frames: decode(outputs, num_frames)[:3])


def test_without_decoding_only_outputs_are_compared():
    batches = [{"x": np.arange(4).reshape(1, 4)}, {"x": np.arange(3).reshape(1, 3)}]
    report = evaluate({"a": exact, "b": exact}, ArrayFeeds(batches))
    assert (report.num_clips, report.overall, report.clips) == (2, None, ())
    assert report.outputs["b"]["scores"].num_values == 28
    with pytest.raises(ConfigError, match="the evaluation decoded nothing"):
        report.require()
    assert AccuracyReport.from_json(report.to_json()) == report


def test_requirement_passes_within_the_budget():
    run(broken(lambda index: index % 10 == 0)).require(wer_increase=0.01, stratum_wer_increase=0.02)


def test_requirement_names_the_overall_counts():
    with pytest.raises(AccuracyError) as caught:
        run(broken(lambda index: index % 2 == 0)).require()
    assert (
        "int8 overall has 5.00 points more WER than fp32, 1.00 are allowed (0.00 % to 5.00 %, "
        "0 to 30 errors in 600 words of 60 clips, 95 % interval +3." in str(caught.value)
    )


def test_requirement_names_the_worst_stratum_large_enough():
    # 5 clips of rare=yes are all wrong, yet too few to judge; 30 of noise=babble are judged
    report = run(broken(lambda index: (index % 2 == 1) & (index > 5) | (index < 5)))
    with pytest.raises(AccuracyError) as caught:
        report.require(wer_increase=0.06)
    message = str(caught.value)
    assert "worst stratum: int8 on noise=babble has 9.67 points more WER than fp32, 2.50 are" in message
    assert "0 to 29 errors in 300 words of 30 clips" in message
    assert "rare=yes" not in message
    assert "overall" not in message
    assert "whether the calibration set covers noise=babble" in caught.value.hint
    with pytest.raises(AccuracyError, match=r"int8 on rare=yes has 10\.00 points"):
        report.require(wer_increase=0.06, min_clips=5)


def test_requirement_asks_for_a_candidate_that_is_there():
    report = run(exact)
    with pytest.raises(ConfigError, match=r"no candidate 'fp16' to judge; this report has \['int8'\]"):
        report.require(runner="fp16")
    with pytest.raises(ConfigError, match="must be a fraction"):
        report.require(wer_increase=float("nan"))


def test_worst_clips_come_first():
    report = run(broken(lambda index: index == 7, num_wrong=4))
    assert [clip.clip_id for clip in report.worst()] == ["clip-007"]
    assert report.worst(runner="fp32") == []
    assert report.to_json()["worst_clips"] == ["clip-007"]
    with pytest.raises(ConfigError, match="no runner 'x'"):
        report.worst(runner="x")


def test_json_round_trip(tmp_path):
    settings = BootstrapConfig(num_resamples=300, confidence=0.9, seed=3)
    report = run(broken(lambda index: index % 3 == 0), bootstrap=settings, normalize=str.upper)
    assert report.normalization == "upper, then white space merged"
    report.save(tmp_path / "accuracy.json")
    assert AccuracyReport.load(tmp_path / "accuracy.json") == report
    value = json.loads((tmp_path / "accuracy.json").read_text())
    assert value["overall"]["runners"]["int8"]["wer"]["errors"] == 20


def test_files_of_another_kind_are_refused(tmp_path):
    with pytest.raises(ReportError, match="no accuracy report at"):
        AccuracyReport.load(tmp_path / "none.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ReportError, match="is no accuracy report"):
        AccuracyReport.load(tmp_path / "a.json")
    with pytest.raises(ReportError, match=r'lacks "format": "trtforge\.accuracy/2"'):
        AccuracyReport.from_json({"format": "other"})
    damaged = run(exact, Clips(4)).to_json()
    del damaged["overall"]["runners"]["int8"]["wer"]["hits"]
    with pytest.raises(ReportError, match="damaged accuracy report: KeyError"):
        AccuracyReport.from_json(damaged)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("runners",), [], "the runners are \\[\\]"),
        (("runners",), ["fp32", "fp16"], "a part is about .*'int8'.*, and the runners are .*'fp16'"),
        (("clips", 0, "runners"), {}, "a part is about \\[\\], and the runners are"),
        (("clips", 0, "id"), "clip-001", "a clip comes twice"),
        (("clips", 0, "runners", "int8", "words", "hits"), -1, "counts are .-1"),
        (("outputs", "int8", "scores", "error_energy"), -1.0, "error_energy is -1.0"),
        (("clip_outputs", 0, "runners"), {"fp16": {}}, "outputs are of .'fp16'., and not of .'int8'."),
        (("overall", "runners", "int8", "wer", "ci"), [0.5], "damaged accuracy report: ValueError"),
        (("overall", "runners", "int8", "wer", "ci"), [0.5, 0.1], "an interval is .0.5, 0.1."),
    ],
)
def test_a_report_whose_parts_do_not_fit_is_refused(place, value, message):
    damaged = json.loads(json.dumps(run(exact, Clips(4)).to_json()))
    inner = damaged
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(ReportError, match=message):
        AccuracyReport.from_json(damaged)


def test_empty_references_make_no_rate():
    clips = Clips(4)
    report = run(exact, clips, references=dict.fromkeys(clips.ids, ""))
    assert report.to_json()["overall"]["runners"]["int8"]["wer"]["rate"] is None
    assert report.overall.runners["int8"].wer.counts.insertions == 40
    with pytest.raises(ConfigError, match="the references hold no words"):
        report.require()


def test_tables_show_percent_and_escape_markup():
    clips = Clips()
    clips.strata = {clip: {"noise": "[red]x[/nope]"} for clip in clips.ids}
    report = run(broken(lambda index: index % 2 == 1), clips)
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(report)
    text = console.export_text()
    assert "noise=[red]x[/nope]" in text
    assert "5.00" in text
    assert "+5.00 (+3." in text


def test_repr_is_short():
    report = run(broken(lambda index: index % 2 == 1))
    assert repr(report) == "AccuracyReport(60 clips; 4 strata; WER fp32 0.00 %, int8 5.00 %)"
