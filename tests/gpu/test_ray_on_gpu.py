"""Many clips over all GPUs of the machine, by actors that each hold an engine."""

from pathlib import Path

import pytest

from tests.bundled import MODEL, TEST_SET
from tests.gpu.needs import why_not
from trtforge.audio import decode_audio, features_for_model
from trtforge.runtime import Session
from trtforge.speech import CtcDecoder

_REASON = why_not("ray", "librosa")
pytestmark = [pytest.mark.ray, pytest.mark.skipif(_REASON is not None, reason=str(_REASON))]


def test_actors_give_what_a_session_gives(tmp_path: Path) -> None:
    import ray

    from benchmarks.bench_ray_scaling import build_engine
    from trtforge.serving.ray import ManySettings, list_clips, read_results, transcribe_many

    clips = list_clips(TEST_SET)[:24]
    build_engine(tmp_path / "asr.engine", num_frames=2000)
    settings = ManySettings(batch_size=1)
    try:
        report = transcribe_many(
            clips, MODEL, tmp_path / "out", engine=tmp_path / "asr.engine", settings=settings
        )
    finally:
        ray.shutdown()
    assert (report.num_transcribed, report.errors) == (24, {})
    features, decoder = features_for_model(MODEL), CtcDecoder.for_model(MODEL)
    results = read_results(tmp_path / "out")
    with Session(tmp_path / "asr.engine") as session:
        for clip in clips:
            values = features(decode_audio(clip.path, sampling_rate=features.sampling_rate))
            outputs = session.run({features.input_name: values[None]})
            assert decoder.decode(outputs, [values.shape[-1]]) == [results[clip.id]["text"]]
