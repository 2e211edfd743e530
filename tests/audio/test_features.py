from __future__ import annotations

import json
import re
import sys
import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from trtforge.audio import LogMel, features_for_model, features_from_json
from trtforge.errors import ConfigError, InputError, MissingExtraError, ModelError
from trtforge.model import FEATURES_KEY, TensorSpec


def hz_to_mel(hz: float) -> float:
    """Slaney's scale: linear to 1 kHz at 15 mel, then 27 mel for every factor of 6.4."""
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


def mel_to_hz(mel: float) -> float:
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def reference(audio: NDArray[Any], features: LogMel) -> NDArray[np.float64]:
    """Log-mel features written straight from their definition, one frame and one band at a time."""
    n_fft, win, hop, rate = features.n_fft, features.win_length, features.hop_length, features.sampling_rate
    window = np.zeros(n_fft)
    start = (n_fft - win) // 2
    window[start : start + win] = [0.5 - 0.5 * np.cos(2 * np.pi * n / win) for n in range(win)]
    padded = np.concatenate([np.zeros(n_fft // 2), audio.astype(np.float64), np.zeros(n_fft // 2)])
    num_frames = 1 + len(audio) // hop
    power = np.stack(
        [np.abs(np.fft.rfft(padded[t * hop : t * hop + n_fft] * window)) ** 2 for t in range(num_frames)],
        axis=1,
    )
    mels = np.linspace(hz_to_mel(features.f_min), hz_to_mel(features.f_max), features.num_mels + 2)
    edges = [mel_to_hz(mel) for mel in mels]
    bins = np.arange(n_fft // 2 + 1) * rate / n_fft
    result = np.empty((features.num_mels, num_frames))
    for band, (low, centre, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        rise, fall = (bins - low) / (centre - low), (high - bins) / (high - centre)
        weights = np.maximum(0, np.minimum(rise, fall)) * 2 / (high - low)
        result[band] = np.log(weights @ power + features.log_floor)
    if features.normalize == "per_band":
        result = (result - result.mean(1, keepdims=True)) / (result.std(1, keepdims=True) + 1e-5)
    return result


def sweep(num_samples: int = 24_000) -> NDArray[np.float32]:
    t = np.arange(num_samples) / 16_000
    # A linear congruential generator: the same noise with every version of NumPy.
    noise = (np.arange(num_samples, dtype=np.int64) * 1_103_515_245 + 12_345) % 2**31 / 2**31 * 0.04 - 0.02
    return (0.4 * np.sin(2 * np.pi * (100 * t + 1500 * t**2)) + noise).astype(np.float32)


@pytest.mark.parametrize(
    "features",
    [
        LogMel(),
        LogMel(normalize="none"),
        LogMel(num_mels=40, n_fft=400, f_min=20, f_max=7600, hop_length=200, log_floor=1e-6),
        LogMel(sampling_rate=8000, f_max=4000, n_fft=256, win_length=200, hop_length=80, num_mels=32),
    ],
    ids=["default", "not-normalized", "other", "8kHz"],
)
@pytest.mark.parametrize("num_samples", [1, 159, 160, 3000, 24_000])
def test_features_follow_their_definition(features: LogMel, num_samples: int) -> None:
    audio = sweep(num_samples)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = features(audio)
    assert found.dtype == np.float32
    assert found.shape == (features.num_mels, 1 + num_samples // features.hop_length)
    assert found.shape[1] == features.num_frames(num_samples)
    np.testing.assert_allclose(found, reference(audio, features), rtol=0, atol=1e-4)


def test_an_impulse_has_the_spectrum_of_the_window() -> None:
    # At sample 160 the impulse meets the window's top in frame 1: |X|^2 = 1 in every bin, and a band holds
    # the sum of its weights. A filter has unit area over Hz and bins are 31.25 Hz apart: about 1 / 31.25.
    audio = np.zeros(480, np.float32)
    audio[160] = 1.0
    mel = LogMel(normalize="none")(audio)
    assert mel[79, 1] == pytest.approx(np.log(1 / 31.25), abs=0.02)
    # 160 samples off its top the window is 0.5 + 0.5 cos(0.8 pi) = 0.0954915, in every bin alike.
    np.testing.assert_allclose(mel[:, 0] - mel[:, 1], 2 * np.log(0.0954915), atol=1e-3)
    # Frame 3 is centred on 480: the impulse lies outside its window, and the floor 2^-24 remains.
    np.testing.assert_allclose(mel[:, 3], -24 * np.log(2), atol=1e-6)


def test_literal_values() -> None:
    mel = LogMel()(sweep())
    plain = LogMel(normalize="none")(sweep())
    assert mel.shape == (80, 151)
    places = ([0, 20, 79], [0, 75, 150])
    np.testing.assert_allclose(plain[places], [1.815498, -12.088391, -4.839829], atol=1e-5)
    np.testing.assert_allclose(mel[places], [6.928304, -0.158052, 0.372390], atol=1e-5)


def test_bands_are_normalized_over_the_clip() -> None:
    mel = LogMel()(sweep()).astype(np.float64)
    np.testing.assert_allclose(mel.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(mel.std(axis=1), 1, atol=2e-4)


def test_silence_is_zero_after_normalizing_and_the_floor_before() -> None:
    silence = np.zeros(16_000, np.float32)
    assert not LogMel()(silence).any()
    np.testing.assert_allclose(LogMel(normalize="none")(silence), -24 * np.log(2), rtol=1e-6)


def test_blocks_of_frames_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = LogMel()(sweep())
    monkeypatch.setattr("trtforge.audio.features._BLOCK_FRAMES", 10)
    np.testing.assert_allclose(LogMel()(sweep()), whole, atol=1e-6)


def test_equal_audio_gives_equal_bytes_from_float32_and_float64() -> None:
    audio = sweep()
    assert (
        LogMel()(audio).tobytes() == LogMel()(audio).tobytes() == LogMel()(audio.astype(np.float64)).tobytes()
    )


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0, np.float32), "got float32 [0]"),
        (np.zeros((2, 100), np.float32), "got float32 [2, 100]"),
        (np.zeros(100, np.int16), "got int16 [100]"),
        (np.float32([0, np.nan]), "got NaN or infinity"),
    ],
)
def test_audio_that_does_not_fit(audio: NDArray[Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        LogMel()(audio)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"win_length": 513}, "win_length must be an integer from 1 to 512, got 513"),
        ({"n_fft": 511}, "n_fft must be even, so that frames have a centre, got 511"),
        ({"n_fft": 2**40}, "n_fft must be an integer from 2 to 65536, got 1099511627776"),
        ({"hop_length": 160.0}, "hop_length must be an integer from 1 to 65536, got 160.0"),
        ({"num_mels": True}, "num_mels must be an integer from 1 to 1024, got True"),
        ({"f_max": 8001}, "f_min 0.0, f_max 8001.0, sampling_rate 16000"),
        ({"f_min": "0"}, "f_min must be a finite number, got '0'"),
        ({"log_floor": 0}, "log_floor must be positive, got 0.0"),
        ({"normalize": "global"}, 'normalize must be "per_band" or "none", got \'global\''),
        ({"input_name": ""}, "input_name must be the name of an input, got ''"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        LogMel(**settings)
    with pytest.raises(ModelError, match=re.escape(message)):
        LogMel.from_json({"kind": "log_mel", **settings})


def test_shortest_clip() -> None:
    assert LogMel().min_num_samples == 400
    assert LogMel(min_frames=8).min_num_samples == 7 * 160
    assert LogMel(min_frames=8).num_frames(7 * 160) == 8


def test_json_and_repr_rebuild_the_features() -> None:
    features = LogMel(num_mels=64, f_min=20, input_name="audio_signal", normalize="none")
    assert LogMel.from_json(json.loads(json.dumps(features.to_json()))) == features
    assert eval(repr(features)) == features  # noqa: S307
    assert features_from_json({"kind": "log_mel", "num_mels": 64}) == LogMel(num_mels=64)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"kind": "mfcc"}, "names features of kind 'mfcc'; known are: log_mel"),
        ({"kind": ["log_mel"]}, "names features of kind ['log_mel']; known are: log_mel"),
        ([1], "names features of kind None; known are: log_mel"),
        ({"kind": "log_mel", "dither": 1, "preemph": 0.97}, "log_mel does not know: dither, preemph"),
    ],
)
def test_descriptions_that_are_not_known(value: Any, message: str) -> None:
    with pytest.raises(ModelError, match=re.escape(message)):
        features_from_json(value)


def test_log_mel_refuses_another_kind() -> None:
    with pytest.raises(ModelError, match='does not describe log-mel features: it lacks "kind": "log_mel"'):
        LogMel.from_json({"kind": "mfcc"})


def network(
    *, name: str = "mel", dtype: int = TensorProto.FLOAT, shape: tuple[Any, ...] = ("batch", 80, "frames")
) -> onnx.ModelProto:
    node = helper.make_node("Identity", [name], ["out"])
    value = helper.make_tensor_value_info(name, dtype, shape)
    graph = helper.make_graph([node], "g", [value], [helper.make_tensor_value_info("out", dtype, shape)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_for_model_reads_the_metadata(tmp_path: Any) -> None:
    model = network()
    helper.set_model_props(model, {FEATURES_KEY: json.dumps(LogMel(hop_length=200).to_json())})
    onnx.save(model, tmp_path / "asr.onnx")
    assert LogMel.for_model(tmp_path / "asr.onnx") == LogMel(hop_length=200)
    assert features_for_model(model) == LogMel(hop_length=200)


def test_for_model_without_metadata_says_how_to_state_the_features() -> None:
    with pytest.raises(ModelError, match=r"its metadata has no 'trtforge\.features'") as caught:
        LogMel.for_model(network())
    assert "LogMel(sampling_rate=16000, num_mels=80)" in str(caught.value)


def test_for_model_with_damaged_metadata() -> None:
    model = network()
    helper.set_model_props(model, {FEATURES_KEY: "{"})
    with pytest.raises(ModelError, match=r"metadata 'trtforge\.features' is not JSON"):
        LogMel.for_model(model)


def test_for_model_checks_the_networks_input() -> None:
    model = network(shape=("batch", 64, "frames"))
    helper.set_model_props(model, {FEATURES_KEY: json.dumps(LogMel().to_json())})
    with pytest.raises(ModelError, match="the network wants 64 bands: mel: float32"):
        LogMel.for_model(model)


MEL = TensorSpec("mel", "float32", ("batch", 80, "frames"))


def test_check_accepts_dynamic_axes() -> None:
    LogMel().check((MEL,))
    LogMel().check((TensorSpec("mel", "float32", (1, "bands", "?")),))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            (TensorSpec("audio", "float32", ("b", 80, "t")),),
            "the features give mel: float32 [batch, 80, frames], the network has no input of that name; it "
            "has audio: float32 [b, 80, t]",
        ),
        ((), "it has no inputs"),
        ((MEL, TensorSpec("length", "int64", ("b",))), "the network takes 2 inputs: "),
        (
            (TensorSpec("mel", "float16", ("b", 80, "t")),),
            "the network wants float16: mel: float16 [b, 80, t]",
        ),
        ((TensorSpec("mel", "float32", ("b", 1, 80, "t")),), "the network wants 4 axes: mel"),
        ((TensorSpec("mel", "float32", ("b", "t", 80)),), "wants the frames before the bands: mel: float32"),
        ((TensorSpec("mel", "float32", ("b", 128, "t")),), "the network wants 128 bands: mel"),
        ((TensorSpec("mel", "float32", ("b", 80, 3000)),), "the network wants exactly 3000: mel"),
    ],
)
def test_check_says_what_does_not_fit(inputs: tuple[TensorSpec, ...], message: str) -> None:
    with pytest.raises(ModelError, match=re.escape(message)):
        LogMel().check(inputs)


def test_a_network_of_fixed_length_is_told_how_it_is_calibrated() -> None:
    with pytest.raises(ModelError) as caught:
        LogMel().check((TensorSpec("mel", "float32", ("b", 80, 3000)),))
    assert caught.value.hint == (
        "export the network with a dynamic time axis; one that takes no other length, as Whisper's encoder, "
        "is calibrated in Python:\n"
        "  features = trtforge.LogMel(...)  # as the network was trained\n"
        "  mel = features(clips.audio(clip, sampling_rate=features.sampling_rate))[:, :3000]\n"
        '  batches.append({"mel": np.pad(mel, ((0, 0), (0, 3000 - mel.shape[1])))[None]})\n'
        "  scales = trtforge.calibrate(model, trtforge.ArrayFeeds(batches))\n"
        'The page on calibration has all steps up to the engine under "Networks of fixed length"'
    )


def test_missing_librosa_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(
        MissingExtraError, match=r"librosa is needed to compute log-mel features(?s:.*)speech"
    ):
        LogMel()(sweep(400))
