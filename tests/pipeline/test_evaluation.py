"""Networks and engines are evaluated side by side."""

from dataclasses import replace

import onnx
import pytest

import trtforge
from tests.bundled import MODEL, TEST_SET, some_clips
from trtforge.audio import ClipSet
from trtforge.errors import ConfigError, ModelError, NoGpuError
from trtforge.nvidia import gpus


def test_a_network_equals_itself() -> None:
    report = trtforge.evaluate({"a": MODEL, "b": onnx.load(MODEL)}, some_clips(TEST_SET, 6))
    assert report.overall is not None
    assert report.overall.runners["a"].wer == report.overall.runners["b"].wer
    report.require(wer_increase=0, stratum_wer_increase=0, min_clips=1)


def test_a_callable_serves_as_a_contender() -> None:
    with trtforge.OnnxRunner(MODEL) as runner:
        report = trtforge.evaluate({"a": MODEL, "b": runner, "c": runner.run}, some_clips(TEST_SET, 3))
    assert report.runners == ("a", "b", "c")
    report.require(wer_increase=0, stratum_wer_increase=0, min_clips=1)


def test_nothing_to_evaluate_is_an_error() -> None:
    with pytest.raises(ConfigError, match="nothing to evaluate"):
        trtforge.evaluate({}, some_clips(TEST_SET, 6))


def test_clips_without_texts_are_refused() -> None:
    clips = some_clips(TEST_SET, 6)
    silent = ClipSet([replace(clip, text=None) for clip in clips], locate=lambda clip: TEST_SET / clip.path)
    with pytest.raises(ConfigError, match="6 of 6 clips have no text to compare with"):
        trtforge.evaluate({"a": MODEL}, silent)


def test_a_network_that_does_not_say_how_it_is_read_is_refused() -> None:
    model = onnx.load(MODEL)
    del model.metadata_props[:]
    with pytest.raises(ModelError, match=r"its metadata has no 'trtforge\.features'"):
        trtforge.evaluate({"a": model}, some_clips(TEST_SET, 6))


def test_an_engine_cannot_be_the_reference_alone() -> None:
    with pytest.raises(ConfigError, match="is no network, and does not say how speech becomes its input"):
        trtforge.evaluate({"a": "some.engine"}, some_clips(TEST_SET, 6))


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU")
def test_an_engine_without_a_gpu_says_what_to_do(tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = trtforge.compile(
        MODEL, evaluate=some_clips(TEST_SET, 2), precision="float32", flavor="tensorrt_rtx"
    )
    made.save(tmp_path)
    with pytest.raises(NoGpuError) as caught:
        trtforge.evaluate({"a": MODEL, "b": tmp_path / "asr_en.engine"}, some_clips(TEST_SET, 2))
    assert caught.value.hint
