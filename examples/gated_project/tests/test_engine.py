import pytest

pytestmark = pytest.mark.trtforge(
    candidate="build/asr_int8.onnx",
    reference="../models/asr_en/asr_en.onnx",
    clips="../../calibration_sets/podcast_en_test",
    num_clips=60,
    wer_budget=0.005,
    wer_resolution=0.025,
)


def test_int8_keeps_its_accuracy(engine_session, accuracy_baseline):
    accuracy_baseline.check(engine_session)
