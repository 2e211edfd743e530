import copy
import dataclasses
import json
import shutil
import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxruntime")
soundfile = pytest.importorskip("soundfile")

from tests.speech.whisper import small  # noqa: E402
from trtforge.errors import ClipError, ConfigError, ExecutionError, ModelError  # noqa: E402
from trtforge.speech import Transcript, Whisper  # noqa: E402
from trtforge.speech.generation import (  # noqa: E402
    Generated,
    Request,
    RowDecoder,
    kept_rows,
)
from trtforge.speech.whisper import (  # noqa: E402
    Fallback,
    TranscribeSettings,
    build_whisper,
    cut,
    export_whisper,
    finishing,
    whisper_features,
    windows_of_files,
)

SILENCE = np.zeros(5 * small.SECOND, np.float32)
GREEDY = TranscribeSettings(fallback=Fallback(temperatures=(0.0,)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    export_whisper((small.model(), small.tokenizer()), folder)
    return folder


@pytest.fixture(scope="module")
def whisper(folder):
    with Whisper.load(folder, num_rows=3, encoder_batch=2) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio")
    parts = {
        "long": [small.noise(3.3), SILENCE, small.noise(0.7, 1), SILENCE],
        "short": [small.noise(0.4, 2)],
        "silent": [SILENCE],
        "clipped": [np.clip(30 * small.noise(1.0, 3), -1, 1)],
        "music": [0.2 * np.sin(np.outer(np.arange(small.SECOND), [0.17, 0.21, 0.26])).sum(axis=1)],
    }
    for name, audio in parts.items():
        soundfile.write(folder / f"{name}.wav", np.concatenate(audio), small.SECOND)
    whole = (folder / "long.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    return folder


def test_words_have_times_inside_their_segments(whisper, recordings):
    transcript = whisper.transcribe(recordings / "long.wav", GREEDY)
    assert transcript.duration == 14.0
    assert transcript.language in ("en", "es", "zh")
    assert [round(segment.start, 2) for segment in transcript.segments][-1] == 8.1
    assert transcript.text == " ".join(segment.text for segment in transcript.segments)
    starts = [word.start for word in transcript.words]
    assert starts == sorted(starts)
    for segment in transcript.segments:
        inside = [word for word in transcript.words if segment.start <= word.start < segment.end]
        assert " ".join(word.text for word in inside).split() == segment.text.split()
        assert all(word.end <= segment.end + 1e-9 for word in inside)
        assert all(0 < word.probability <= 1 for word in inside)
    assert json.loads(json.dumps(transcript.to_json()))["text"] == transcript.text


def test_what_shares_the_rows_does_not_change_a_result(whisper, folder, recordings):
    names = ["long.wav", "short.wav", "clipped.wav"]
    alone = [whisper.transcribe(recordings / name) for name in names]
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        together = whisper.transcribe([recordings / names[index] for index in order])
        for index, found in zip(order, together, strict=True):
            same_as(found, alone[index])
    with Whisper.load(folder, num_rows=7, encoder_batch=5) as other:
        for name, wanted in zip(names, alone, strict=True):
            same_as(other.transcribe(recordings / name), wanted)


def same_as(found, wanted):
    assert found.text == wanted.text
    assert [(word.text, word.start, word.end) for word in found.words] == [
        (word.text, word.start, word.end) for word in wanted.words
    ]
    for one, other in zip(found.segments, wanted.segments, strict=True):
        assert one.temperature == other.temperature
        assert one.mean_log_probability == pytest.approx(other.mean_log_probability, abs=1e-4)


def test_silence_is_never_given_words(whisper, recordings):
    assert whisper.transcribe(recordings / "silent.wav") == Transcript((), 5.0)


@pytest.mark.parametrize("name", ["clipped.wav", "music.wav"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_clipped_sound_music_and_another_language_give_a_result(whisper, recordings, name, language):
    found = whisper.transcribe(recordings / name, TranscribeSettings(language=language))
    assert (found.duration, found.language, found.language_probability) == (1.0, language, None)
    assert all(0 <= word.start <= word.end <= 1.0 for word in found.words)


def test_what_the_network_takes_for_silence_is_left_out(whisper, recordings):
    unsure = Fallback(temperatures=(0.0,), min_log_probability=0.0, max_no_speech=0.0)
    assert whisper.transcribe(recordings / "short.wav", TranscribeSettings(fallback=unsure)).segments == ()


def test_a_recording_that_ends_early_is_an_error_and_the_others_go_on(whisper, recordings):
    with pytest.raises(ClipError, match=r"clip 'cut.wav'"):
        whisper.transcribe(recordings / "cut.wav")
    found = whisper.transcribe([recordings / "cut.wav", recordings / "none.wav", recordings / "short.wav"])
    assert [type(one) for one in found] == [ClipError, ClipError, Transcript]
    same_as(found[2], whisper.transcribe(recordings / "short.wav"))


def test_only_rows_that_fail_are_drawn_again(whisper, recordings):
    greedy = whisper.transcribe(recordings / "long.wav", GREEDY)
    scores = sorted(segment.mean_log_probability for segment in greedy.segments)
    between = (scores[0] + scores[1]) / 2
    again = Fallback(temperatures=(0.0, 0.5), min_log_probability=between, max_compression_ratio=99)
    found = whisper.transcribe(recordings / "long.wav", TranscribeSettings(fallback=again))
    assert sorted(segment.temperature for segment in found.segments) == [0.0] * (len(scores) - 1) + [0.5]
    for one, other in zip(found.segments, greedy.segments, strict=True):
        assert one.temperature or one.text == other.text


def test_times_of_the_decoder_are_not_in_the_text(whisper, recordings):
    settings = TranscribeSettings(language="en", timestamps=True, fallback=Fallback(temperatures=(0.0,)))
    transcript = whisper.transcribe(recordings / "short.wav", settings)
    assert transcript.language_probability is None
    assert "<|" not in transcript.text


def test_progress_ends_with_all_windows(whisper, recordings):
    told = []
    whisper.transcribe(recordings / "long.wav", GREEDY, on_progress=lambda *pair: told.append(pair))
    assert told[-1] == (5, 5)


def test_a_folder_of_transformers_is_loaded_too(whisper, recordings, tmp_path):
    with Whisper.load(small.write(tmp_path)) as loaded:
        same_as(loaded.transcribe(recordings / "short.wav"), whisper.transcribe(recordings / "short.wav"))


def test_wrong_requests_are_refused(whisper, folder, recordings, tmp_path):
    with pytest.raises(ConfigError, match=r"has no language 'xx'; it has en, es, zh"):
        whisper.transcribe(recordings / "short.wav", TranscribeSettings(language="xx"))
    with pytest.raises(ModelError, match=r"lacks encoder.engine, decoder.engine, aligner.engine"):
        Whisper.load(folder, device="gpu")
    with pytest.raises(ModelError, match="cannot be read as a speech checkpoint of transformers"):
        Whisper.load(tmp_path)
    with pytest.raises(ConfigError, match="temperatures must be one or more"):
        Fallback(temperatures=())
    with pytest.raises(ConfigError, match="max_new_tokens must be 1 or more, got 0"):
        TranscribeSettings(max_new_tokens=0)
    with pytest.raises(ConfigError, match=r"task must be one of .*, got 'summarise'"):
        TranscribeSettings(task="summarise")
    with pytest.raises(ConfigError, match="num_rows must be 1 or more, got 0"):
        Whisper.load(folder, num_rows=0)


@pytest.mark.parametrize("num_mels", [80, 128])
@pytest.mark.parametrize("seconds", [0.01, 7.3, 30.0])
def test_features_are_those_of_transformers(num_mels, seconds):
    from transformers import WhisperFeatureExtractor

    audio = small.noise(seconds)
    wanted = WhisperFeatureExtractor(feature_size=num_mels)(audio, sampling_rate=16_000).input_features[0]
    found = whisper_features(audio, num_mels=num_mels, num_frames=3000)
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_features_of_silence_are_even():
    assert set(whisper_features(np.zeros(100), num_mels=80, num_frames=3000).ravel()) == {np.float32(-1.5)}


def test_few_windows_of_a_long_recording_are_held(folder, monkeypatch, tmp_path):
    soundfile.write(tmp_path / "long.wav", small.noise(12), small.SECOND)
    alive, most = set(), []

    def watched(*arguments):
        for index, window in enumerate(cut(*arguments)):
            alive.add(index)
            weakref.finalize(window, alive.discard, index)
            most.append(len(alive))
            yield window
            del window

    monkeypatch.setattr(windows_of_files, "cut", watched)
    with Whisper.load(folder, num_rows=3, encoder_batch=2) as whisper:
        transcript = whisper.transcribe(tmp_path / "long.wav", dataclasses.replace(GREEDY, max_new_tokens=6))
    assert len(transcript.segments) > 12
    # Those in rows, two batches whose rows are not all done, two that are read ahead, and the one being cut.
    assert max(most) <= 3 + 2 * 2 + 2 * 2 + 1


def test_engines_of_every_part_are_built(folder, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    built = build_whisper(tmp_path, num_rows=2, encoder_batch=2, num_positions=16, flavor="tensorrt_rtx")
    assert sorted(path.name for path in tmp_path.glob("*.engine")) == [
        "aligner.engine", "decoder.engine", "encoder.engine",
    ]  # fmt: skip
    profiles = built["decoder"].manifest.profiles
    assert [profile.shapes["tokens"].max for profile in profiles] == [(2, 1), (2, 8)]


@pytest.mark.parametrize(("bucket", "made"), [(128, 1), (8, 3)])
def test_rows_of_an_engine_are_kept_until_they_grow(folder, recordings, monkeypatch, bucket, made):
    rows = []

    class Rows(RowDecoder):
        def __init__(self, *args, **more):
            super().__init__(*args, **more, bucket=bucket)
            rows.append(self)

    monkeypatch.setattr(kept_rows, "RowDecoder", Rows)
    with Whisper.load(folder, num_rows=3, encoder_batch=2) as whisper:
        # What keeps its rows is known by its type: to `RowDecoder` it is ONNX Runtime's still.
        monkeypatch.setattr(kept_rows, "Session", type(whisper._networks.decoder))
        found = [
            whisper.transcribe(recordings / f"{name}.wav", settings)
            for name, settings in (
                ("long", GREEDY),
                ("long", dataclasses.replace(GREEDY, timestamps=True)),
                ("long", GREEDY),
            )
        ][::2]
        assert found[0] == found[1]
        assert len(rows) == made
    monkeypatch.undo()
    with Whisper.load(folder, num_rows=3, encoder_batch=2) as whisper:
        assert whisper.transcribe(recordings / "long.wav", GREEDY) == found[0]


def test_times_are_computed_in_threads_and_their_errors_are_raised(whisper, recordings, monkeypatch):
    wanted, names = whisper.transcribe(recordings / "long.wav", GREEDY), set()
    plain = finishing.token_starts

    def watched(*given, **options):
        names.add(threading.current_thread().name.split("_")[0])
        return plain(*given, **options)

    monkeypatch.setattr(finishing, "token_starts", watched)
    monkeypatch.setattr(finishing, "_MAX_WAITING", 1)
    assert whisper.transcribe(recordings / "long.wav", GREEDY) == wanted
    assert names == {"trtforge-word-times"}

    def failing(*given, **options):
        raise ExecutionError("the attention is odd")

    monkeypatch.setattr(finishing, "token_starts", failing)
    with pytest.raises(ExecutionError, match="the attention is odd"):
        whisper.transcribe(recordings / "long.wav", GREEDY)
    monkeypatch.setattr(finishing, "token_starts", plain)
    assert whisper.transcribe(recordings / "long.wav", GREEDY) == wanted


def test_white_space_around_a_text_is_no_repetition(whisper):
    tokens = tuple((" " * 500 + "a word").encode())
    request = Request((1,), 600, frozenset(), key=SimpleNamespace(no_speech_probability=0.0, attempt=0))
    assert whisper._again(Generated(request, tokens, (-0.1,), stopped=True), Fallback()) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperatures": (0.0, np.nan)}, "temperatures must be one or more, finite"),
        ({"temperatures": (np.inf,)}, "temperatures must be one or more, finite"),
        ({"max_compression_ratio": np.nan}, "max_compression_ratio must be a number, got NaN"),
    ],
)
def test_limits_that_are_no_numbers_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Fallback(**settings)


def test_a_network_that_gives_nan_gives_no_text(tmp_path, recordings):
    model = copy.deepcopy(small.model())
    with torch.no_grad():
        model.model.decoder.layers[1].fc1.weight[0, 0] = torch.nan
    export_whisper((model, small.tokenizer()), tmp_path)
    with Whisper.load(tmp_path) as broken, pytest.raises(ExecutionError, match="the network gave NaN"):
        broken.transcribe(recordings / "short.wav", TranscribeSettings(language="en"))
