"""The bundled recogniser: what it was trained on is what it is fed."""

import json

import numpy as np
import onnx
import pytest

from tests.bundled import CALIBRATION_SET, MODEL, some_clips
from trtforge.audio import LogMel
from trtforge.graph import describe
from trtforge.model import load_model
from trtforge.speech import CtcDecoder


def test_it_is_small_and_dynamic() -> None:
    assert MODEL.stat().st_size <= 12_000_000
    summary = describe(load_model(MODEL))
    assert summary.num_parameters <= 6_000_000
    assert [str(spec) for spec in summary.inputs] == ["mel: float32 [batch, 80, frames]"]


def test_it_says_how_it_is_fed_and_read() -> None:
    assert LogMel.for_model(MODEL) == LogMel()
    decoder = CtcDecoder.for_model(MODEL)
    assert (decoder.blank, decoder.frames_per_output) == (28, 2)


def test_training_features_are_those_of_the_library() -> None:
    torch = pytest.importorskip("torch")
    from examples.models.asr_en.augment import mel_filters, mel_spectrogram

    clips = some_clips(CALIBRATION_SET, 3)
    audio = [clips.audio(clip) for clip in clips]
    lengths = torch.tensor([len(samples) for samples in audio])
    batch = torch.zeros(len(audio), int(lengths.max()))
    for row, samples in enumerate(audio):
        batch[row, : len(samples)] = torch.from_numpy(samples)
    mel, num_frames = mel_spectrogram(batch, lengths, mel_filters())
    for row, samples in enumerate(audio):
        expected = LogMel()(samples)
        assert int(num_frames[row]) == expected.shape[1]
        np.testing.assert_allclose(mel[row, :, : expected.shape[1]].numpy(), expected, atol=2e-3)


def test_the_network_written_is_the_network_trained() -> None:
    torch = pytest.importorskip("torch")
    onnxruntime = pytest.importorskip("onnxruntime")
    from dataclasses import asdict

    from examples.models.asr_en.export import make_network
    from examples.models.asr_en.network import Architecture, Recogniser

    torch.manual_seed(0)
    shape = Architecture(width=32, head_width=48, blocks=((3, 1), (5, 2)))
    network = Recogniser(shape).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    network = network.half().float()
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    model = make_network({**weights, "architecture": np.array(json.dumps(asdict(shape)))})
    onnx.checker.check_model(model)
    mel = torch.randn(2, 80, 101)
    (logits,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"mel": mel.numpy()})
    assert logits.shape == (2, 51, 29)
    np.testing.assert_allclose(logits, network(mel).detach().numpy(), atol=1e-5)
