"""Two runners are held against each other, on speech and on bare arrays."""

import numpy as np
import onnx
import pytest

import trtforge
from tests.bundled import MODEL, TEST_SET, some_clips
from trtforge.errors import BaselineError, ConfigError, InputError
from trtforge.model import model_digest


def test_outputs_alone_on_bare_arrays() -> None:
    batches = [{"x": np.array([[1.0, 2.0, 0.0]])}, {"x": np.array([[4.0, 0.0, 5.0]])}]
    report = trtforge.compare(
        lambda arrays: {"y": arrays["x"]}, lambda arrays: {"y": arrays["x"] * [1.5, 1, 0.5]}, batches
    )
    assert report.runners == ("reference", "candidate")
    metrics = report.outputs["candidate"]["y"]
    # errors 0.5, 0, 0 and 2, 0, 2.5; relative ones 0.5, 0 and 0.5, 0.5 where the reference is not zero
    assert (metrics.max_abs_error, metrics.mean_abs_error) == (2.5, pytest.approx(5 / 6))
    assert (metrics.max_rel_error, metrics.mean_rel_error, metrics.num_relative) == (0.5, 1.5 / 4, 4)
    assert metrics.argmax_agreement == 0.5
    first, second = report.clip_outputs
    assert (first.clip_id, first.outputs["candidate"]["y"].max_abs_error) == ("batch-0", 0.5)
    assert second.outputs["candidate"]["y"].snr_db == pytest.approx(10 * np.log10(41 / 10.25))


def test_speech_takes_texts_and_strata_from_the_clips() -> None:
    clips = some_clips(TEST_SET, 8)
    feeds = clips.feeds(trtforge.LogMel.for_model(MODEL), batch_size=3)
    decoder = trtforge.CtcDecoder.for_model(MODEL)
    with trtforge.OnnxRunner(MODEL) as runner:

        def deaf(arrays):  # type: ignore[no-untyped-def]
            return {"logits": np.roll(runner.run(arrays)["logits"], 1, axis=-1)}

        report = trtforge.compare(onnx.load(MODEL), deaf, feeds, decoder=decoder)
    assert report.reference_sha256 == model_digest(onnx.load(MODEL))
    assert report.overall is not None
    increase = report.overall.runners["candidate"].wer_increase
    assert increase is not None
    assert increase.rate > 0.3
    # 8 clips got worse: 2 of the 256 sign patterns are as far from zero
    assert increase.p_value == 2 / 256
    assert report.normalization == "lower case, white space merged"
    assert len(report.clip_outputs) == report.num_clips == 8
    parts = [clip.outputs["candidate"]["logits"].num_values for clip in report.clip_outputs]
    assert sum(parts) == report.outputs["candidate"]["logits"].num_values
    worst = report.worst(1)[0]
    assert worst.reference == clips.texts()[worst.clip_id]
    assert worst.hypotheses["reference"].text != worst.hypotheses["candidate"].text
    assert any(str(stratum).startswith("noise=") for stratum in report.strata)
    assert trtforge.AccuracyReport.from_json(report.to_json()) == report


def test_a_check_refuses_a_comparison_with_another_network() -> None:
    def gain(factor: float) -> onnx.ModelProto:
        return onnx.parser.parse_model(
            f"""<ir_version: 8, opset_import: ["" : 17]>
            net (float[b, 4] x) => (float[b, 4] y) <float by = {{{factor}}}> {{ y = Mul (x, by) }}"""
        )

    random = np.random.default_rng(0)
    feeds = [{"x": random.normal(size=(1, 4)).astype(np.float32)} for _ in range(8)]
    baseline = trtforge.Baseline.from_report(trtforge.compare(gain(1.0), gain(1.1), feeds))
    assert trtforge.check(trtforge.compare(gain(1.0), gain(1.1), feeds), baseline).verdict == "pass"
    with pytest.raises(BaselineError, match="the reference is another network"):
        trtforge.check(trtforge.compare(gain(2.0), gain(2.2), feeds), baseline)


def test_unmatched_outputs_raise() -> None:
    feeds = [{"x": np.ones((1, 2))}]
    with pytest.raises(InputError, match=r"'reference' gives outputs \['y'\], 'candidate' gives \['z'\]"):
        trtforge.compare(lambda arrays: {"y": arrays["x"]}, lambda arrays: {"z": arrays["x"]}, feeds)


def test_a_decoder_without_texts_is_refused() -> None:
    decoder = trtforge.CtcDecoder(("a",), blank=1)
    with pytest.raises(ConfigError, match="decode was given without references"):
        trtforge.compare(lambda arrays: arrays, lambda arrays: arrays, [{"x": np.ones(2)}], decoder=decoder)
