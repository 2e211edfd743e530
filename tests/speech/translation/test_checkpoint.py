"""A translation checkpoint that is broken is refused with the reason; what it forces comes first."""

import json
import shutil

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("sentencepiece")
pytest.importorskip("onnxruntime")

from examples.models.en_es.grammar import FOLDER  # noqa: E402
from trtforge.errors import ModelError  # noqa: E402
from trtforge.speech.translation import Translator  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(FOLDER / "checkpoint", tmp_path / "checkpoint")


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("name", "data", "match"),
    [
        ("source.spm", None, "cannot be read as a checkpoint of transformers"),
        ("target.spm", b"cut", "cannot be read as a checkpoint of transformers: .*could not parse"),
        ("tokenizer_config.json", b"[]", "cannot be read as a checkpoint of transformers"),
        ("generation_config.json", b"{", "is no generation_config.json: Expecting property name"),
        ("generation_config.json", b"[]", "is no generation_config.json: it holds no object"),
        ("model.safetensors", b"", "cannot be read as a seq2seq checkpoint of transformers: .*header"),
    ],
)
def test_files_that_are_missing_or_cut(folder, name, data, match):
    (folder / name).unlink() if data is None else (folder / name).write_bytes(data)
    with pytest.raises(ModelError, match=match):
        Translator.load(folder)


def test_settings_that_do_not_fit_the_weights(folder):
    change(folder / "generation_config.json", decoder_start_token_id=5000)
    with pytest.raises(ModelError, match="begins with symbol 5000, it has 1500"):
        Translator.load(folder)
    change(folder / "generation_config.json", decoder_start_token_id=0)
    change(folder / "config.json", decoder_layers=9)
    with pytest.raises(ModelError, match=r"lacks 182 weights that its config\.json asks for"):
        Translator.load(folder)


def test_a_first_symbol_that_is_forced_comes_first(folder):
    change(folder / "generation_config.json", forced_bos_token_id=40)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    sentences = ["We build an engine.", "The engine runs."]
    with Translator.load(folder, num_threads=1) as translator:
        found = [one.text for one in translator.translate(sentences)]
    for sentence, text in zip(sentences, found, strict=True):
        wanted = model.generate(**tokenizer(sentence, return_tensors="pt"), num_beams=1)[0]
        assert wanted[1] == 40
        assert text == tokenizer.decode(wanted[2:], skip_special_tokens=True).strip()
