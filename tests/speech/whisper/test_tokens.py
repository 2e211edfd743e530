"""What Whisper says is what it says in transformers, symbol for symbol."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxruntime")

from tests.speech.whisper import expected, small  # noqa: E402
from trtforge.runtime import OnnxRunner  # noqa: E402
from trtforge.speech.generation import Request, RowDecoder, Seat, generate  # noqa: E402
from trtforge.speech.whisper import Whisper, WhisperDescription, WhisperRules, export_whisper  # noqa: E402

NEW = 30


@pytest.fixture(scope="module", params=[0, 1, 2])
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"whisper-{request.param}")
    export_whisper((small.model(request.param), small.tokenizer()), folder)
    return request.param, folder


@pytest.mark.parametrize("timestamps", [False, True])
def test_greedy_tokens_with_and_without_times(exported, timestamps):
    seed, folder = exported
    known = WhisperDescription.load(folder)
    features = np.random.default_rng(seed).standard_normal((5, 80, 100)).astype(np.float32)
    prompt = known.vocabulary.prompt("es", "transcribe", timestamps=timestamps)
    wanted = expected.greedy(seed, features, prompt, timestamps=timestamps, new=NEW)
    rules = WhisperRules(known.vocabulary, known.num_symbols, timestamps)
    memory = OnnxRunner(folder / "encoder.onnx").run({"features": features})
    for num_rows in (2, 5):
        rows = RowDecoder(
            OnnxRunner(folder / "decoder.onnx"), num_rows=num_rows, num_positions=64, rules=rules
        )
        stop = frozenset({small.STOP})
        seats = (Seat(Request(prompt, NEW, stop, rules, key=row), memory, row) for row in range(5))
        found = {one.request.key: list(one.tokens) for one in generate(rows, seats)}
        assert [found[row] for row in range(5)] == wanted
    first_time = known.vocabulary.first_time
    assert any(token >= first_time for tokens in wanted for token in tokens) or not timestamps


def test_text_and_prompts_are_those_of_the_tokenizer(exported):
    _, folder = exported
    known = WhisperDescription.load(folder).vocabulary
    assert known.text([*"né 你".encode(), 300, 258]) == "né 你"
    assert known.text([*"né".encode()][:-1]) == "n�"
    ids = small.ids()
    assert known.prompt("es", "translate", timestamps=False) == (
        ids["<|startoftranscript|>"], ids["<|es|>"], ids["<|translate|>"], ids["<|notimestamps|>"],
    )  # fmt: skip
    assert known.no_speech == ids["<|nospeech|>"]
    assert known.first_time == small.tokenizer().convert_tokens_to_ids("<|0.00|>")


def test_the_language_is_that_of_transformers(exported, tmp_path):
    import soundfile

    seed, folder = exported
    audio = small.noise(1.0, seed)
    soundfile.write(tmp_path / "a.wav", audio, small.SECOND, subtype="FLOAT")
    from transformers import WhisperFeatureExtractor

    features = WhisperFeatureExtractor(chunk_length=1)(audio, sampling_rate=16_000, return_tensors="pt")
    found = small.model(seed).detect_language(features.input_features)
    wanted = small.tokenizer().decode(found[0]).strip("<|>")
    with Whisper.load(folder) as whisper:
        transcript = whisper.transcribe(tmp_path / "a.wav")
    assert transcript.language == wanted
    assert 1 / 3 < transcript.language_probability <= 1
