"""A checkpoint that is broken or incomplete is refused with the reason; others of any shape are read."""

import json
import shutil

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxruntime")

from tests.speech.causal import small as causal  # noqa: E402
from tests.speech.whisper import small  # noqa: E402
from trtforge.errors import ConfigError, ModelError  # noqa: E402
from trtforge.speech import Whisper  # noqa: E402
from trtforge.speech.whisper import WhisperDescription, WhisperVocabulary, export_whisper  # noqa: E402


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return small.write(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "checkpoint")


def change(path, **values):
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, **values}))


def refused(folder, match):
    with pytest.raises(ModelError, match=match):
        Whisper.load(folder)


def test_weights_that_are_cut_missing_or_of_another_network(folder):
    change(folder / "config.json", decoder_layers=3)
    refused(folder, r"lacks 24 weights that its config\.json asks for, such as model\.decoder\.layers\.2\.")
    change(folder / "config.json", decoder_layers=2, d_model=64)
    refused(folder, r"has another size of \d+ weights that its config\.json asks for, such as model\.decoder")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    refused(folder, "cannot be read as a speech checkpoint of transformers: Error while deserializing header")
    weights.unlink()
    refused(folder, "no file named model.safetensors")


def test_a_tokenizer_that_is_missing_or_of_another_checkpoint(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    refused(folder, r"the checkpoint's tokenizer is not Whisper's: it has no <\|startoftranscript\|>")
    causal.tokenizer().save_pretrained(folder)
    refused(folder, r"the checkpoint's tokenizer is not Whisper's: it has no <\|endoftext\|>")


def test_settings_that_do_not_say_the_languages(folder):
    path = folder / "generation_config.json"
    change(path, task_to_id=None)
    refused(folder, "the checkpoint does not say its languages: its generation_config.json lacks lang_to_id")
    path.write_text("{")
    refused(folder, "take generation_config.json from the checkpoint that this one was made of")
    path.unlink()
    refused(folder, "the checkpoint does not say its languages")


def test_a_vocabulary_larger_than_the_network():
    with pytest.raises(ModelError, match="it has more symbols than the network, which has 200"):
        WhisperVocabulary.of_checkpoint(small.tokenizer(), small.model().generation_config, 200)


def test_a_checkpoint_of_english_alone_has_no_languages():
    settings = json.loads(small.model().generation_config.to_json_string())
    settings |= {"lang_to_id": None, "task_to_id": None, "is_multilingual": False}
    import transformers

    made = transformers.GenerationConfig(**settings)
    known = WhisperVocabulary.of_checkpoint(small.tokenizer(), made, small.NUM_SYMBOLS)
    assert not known.is_multilingual
    ids = small.ids()
    assert known.prompt("en", "transcribe", timestamps=False) == (
        ids["<|startoftranscript|>"], ids["<|notimestamps|>"],
    )  # fmt: skip


def test_a_description_with_sizes_that_cannot_be(folder, tmp_path):
    export_whisper((small.model(), small.tokenizer()), tmp_path)
    change(tmp_path / "whisper.json", num_mels="80", num_frames=0)
    with pytest.raises(ModelError, match="num_mels, num_frames must be 1 or more"):
        WhisperDescription.load(tmp_path)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"lang_to_id": {"<|en|>": 9999}}, "symbol of 'en' must lie in 0 to 317, got 9999"),
        ({"lang_to_id": {"<|en|>": -4}}, "symbol of 'en' must lie in 0 to 317, got -4"),
        ({"lang_to_id": {"<|en|>": "x"}}, "symbol of 'en' must lie in 0 to 317, got 'x'"),
        ({"lang_to_id": ["<|en|>"]}, "has lang_to_id: .* which is not how Whisper's are written"),
        ({"task_to_id": {"transcribe": 5000}}, "symbol of 'transcribe' must lie in 0 to 317, got 5000"),
        ({"suppress_tokens": "-1"}, "has suppress_tokens: '-1', which is not how"),
        ({"max_initial_timestamp_index": "1"}, "has max_initial_timestamp_index: '1', which is not how"),
        ({"alignment_heads": [[9, 9]]}, r"pairs of a layer below 2 and a head below 4, got \[\[9, 9\]\]"),
        ({"alignment_heads": [[0]]}, r"pairs of a layer below 2 and a head below 4, got \[\[0\]\]"),
    ],
)
def test_settings_that_are_not_whispers(folder, values, match):
    change(folder / "generation_config.json", **values)
    refused(folder, match)


def test_a_median_of_even_width(folder):
    change(folder / "config.json", median_filter_width=6)
    refused(folder, "median_filter_width must be odd, got 6")


def test_a_task_that_the_checkpoint_lacks():
    settings = json.loads(small.model().generation_config.to_json_string())
    import transformers

    made = transformers.GenerationConfig(**settings | {"task_to_id": {"transcribe": 262}})
    known = WhisperVocabulary.of_checkpoint(small.tokenizer(), made, small.NUM_SYMBOLS)
    assert known.prompt("es", "transcribe", timestamps=False)[2] == 262
    with pytest.raises(ConfigError, match="the checkpoint has no task 'translate'; it has transcribe"):
        known.prompt("es", "translate", timestamps=False)


def test_a_description_with_symbols_that_the_network_lacks(folder, tmp_path):
    export_whisper((small.model(), small.tokenizer()), tmp_path)
    change(tmp_path / "whisper.json", num_symbols=99)
    with pytest.raises(ModelError, match="symbol of 'start' must lie in 0 to 98, got 257"):
        WhisperDescription.load(tmp_path)
