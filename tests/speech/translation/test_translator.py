"""Sentences through the bundled checkpoint, and through small ones of many languages."""

import functools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("sentencepiece")
pytest.importorskip("onnxruntime")

from examples.models.en_es.corpus import make_corpus  # noqa: E402
from examples.models.en_es.grammar import FOLDER  # noqa: E402
from tests.speech.generation import checkpoints  # noqa: E402
from trtforge.errors import ConfigError, InputError, ModelError  # noqa: E402
from trtforge.speech.translation import (  # noqa: E402
    Glossary,
    Term,
    Translation,
    Translator,
    export_translator,
    preservation_rate,
)

CHECKPOINT = FOLDER / "checkpoint"


@functools.cache
def translator():
    return Translator.load(CHECKPOINT, num_threads=1)


@functools.cache
def script():
    return make_corpus(0, 1).script


def test_text_is_that_of_transformers():
    sentences = [english for english, _ in make_corpus(0, 1).held_out[:40]]
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(CHECKPOINT, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(CHECKPOINT)
    wanted = tokenizer.batch_decode(
        model.generate(**tokenizer(sentences, return_tensors="pt", padding=True), num_beams=1),
        skip_special_tokens=True,
    )
    found = translator().translate(sentences)
    assert [one.text for one in found] == wanted
    assert all(one.is_complete and one.score <= 0 and one.method == "greedy" for one in found)


def test_the_script_keeps_every_term():
    glossary = Glossary.load(FOLDER / "glossary.txt")
    found = translator().translate([english for english, _ in script()], glossary=glossary)
    assert [one.text for one in found] == [spanish for _, spanish in script()]
    assert sum(len(one.terms_kept) for one in found) == 21
    assert preservation_rate(found) == 1.0


@pytest.mark.parametrize(
    ("placeholders", "method"), [(("<t1>", "<t2>", "<t3>"), "placeholders"), ((), "constrained")]
)
def test_unknown_terms_are_kept_by_placeholders_and_by_search(placeholders, method):
    one = Translator(replace(translator().text, placeholders=placeholders), translator().sequences)
    glossary = Glossary((Term("Zephyr"), Term("attention head")))
    sentences = ["Zephyr builds an engine.", "The attention head uses Zephyr.", "We build an engine."]
    assert not any(term in one.text for one in one.translate(sentences) for term in ("Zephyr", "attention h"))
    found = one.translate(sentences, glossary=glossary)
    assert [result.method for result in found] == [method, method, "greedy"]
    assert [result.terms_kept for result in found] == [("Zephyr",), ("attention head", "Zephyr"), ()]
    assert [result.terms_lost + result.terms_added for result in found] == [(), (), ()]
    assert "un motor" in found[0].text
    assert found[2].text == "Construimos un motor."


def test_order_is_kept_on_request():
    one = Translator(replace(translator().text, placeholders=()), translator().sequences)
    sentence = "Zephyr reads the Quill."
    found = one.translate([sentence], glossary=Glossary.of(["Zephyr", "Quill"], keep_order=True))[0]
    assert found.text.index("Zephyr") < found.text.index("Quill")
    assert found.terms_in_order


def test_a_term_that_cannot_be_written_is_reported_lost():
    # The checkpoint has no symbol for these letters.
    found = translator().translate(["We build an engine."], glossary=Glossary.of({"engine": "мотор"}))[0]
    assert (found.terms_kept, found.terms_lost) == (("мотор",), ()) or found.terms_lost == ("мотор",)
    alone = Translator(replace(translator().text, placeholders=()), translator().sequences)
    lost = alone.translate(["We build an engine."], glossary=Glossary.of({"engine": "мотор"}))[0]
    assert lost.text == "Construimos un motor."
    assert lost.terms_lost == ("мотор",)
    assert preservation_rate([lost]) == 0.0


def test_long_text_is_translated_in_parts_and_empty_text_is_empty():
    english = [pair[0] for pair in script()[:12]]
    wanted = " ".join(pair[1] for pair in script()[:12])
    whole = translator().translate([" ".join(english), "  ", ""])
    assert whole[0].text == wanted
    assert whole[1:] == (Translation("  ", ""), Translation("", ""))
    assert translator().translate([]) == ()
    with pytest.raises(InputError, match="a word is longer than the network takes: 'xqxqxq"):
        translator().translate(["xq" * 200])
    with pytest.raises(InputError, match="sentences must be a list of sentences, got one string"):
        translator().translate("We build an engine.")


def test_a_limit_cuts_a_translation_and_says_so():
    found = translator().translate(["We build an engine."], max_new_tokens=2)[0]
    assert 0 < len(found.text) < len("Construimos un")
    assert "Construimos un motor.".startswith(found.text)
    assert not found.is_complete


def test_an_exported_folder_runs_without_pytorch(tmp_path):
    export_translator(str(CHECKPOINT), tmp_path / "out")
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from trtforge.speech.translation import Translator\n"
        "one = Translator.load(sys.argv[1], num_threads=1)\n"
        "print(one.translate(['We build an engine.'])[0].text)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "out")],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.stdout.splitlines()[-1:] == ["Construimos un motor."], done.stderr
    with pytest.raises(ConfigError, match=r"kv_dtype is 'float16', and .*out was exported with 'float32'"):
        export_translator(str(tmp_path / "out"), tmp_path / "again", kv_dtype="float16")
    (tmp_path / "out" / "translator.json").write_text('{"format": "other"}')
    with pytest.raises(ModelError, match="is not what export_translator writes"):
        Translator.load(tmp_path / "out")


def many_languages(folder, kind):
    """A checkpoint with random weights and a tokenizer of M2M100's or NLLB's kind."""
    if kind == "m2m100":
        special = ["<s>", "<pad>", "</s>", "<unk>"]
        pieces = [piece for piece in translator().text.tokenizer.get_vocab() if piece not in special]
        vocabulary = folder / "pieces.json"
        vocabulary.write_text(json.dumps({piece: at for at, piece in enumerate([*special, *pieces])}))
        tokenizer = transformers.M2M100Tokenizer(
            str(vocabulary), str(CHECKPOINT / "source.spm"), src_lang="en", tgt_lang="es"
        )
    else:
        letters = ["▁", *"abcdefghijklmnopqrstuvwxyz."]
        words = {word: index for index, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *letters])}
        tokenizer = transformers.NllbTokenizer(vocab=words, merges=[])
    tokenizer.save_pretrained(folder)
    symbols = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    checkpoints.m2m100(5, vocab_size=len(tokenizer) + 120, **symbols).save_pretrained(folder)
    return transformers.AutoModelForSeq2SeqLM.from_pretrained(folder), tokenizer


@pytest.mark.parametrize(
    ("kind", "source", "target"), [("m2m100", "en", "es"), ("nllb", "eng_Latn", "spa_Latn")]
)
def test_languages_are_told_to_tokenizer_and_network(tmp_path, kind, source, target):
    model, tokenizer = many_languages(tmp_path, kind)
    one = Translator.load(tmp_path, source_language=source, target_language=target, num_threads=1)
    sentences = ["the engine runs.", "a tensor core is fast and small", "yes"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path, src_lang=source)
    language = tokenizer.convert_tokens_to_ids(target if kind == "nllb" else f"__{target}__")
    for sentence, found in zip(sentences, one.translate(sentences, max_new_tokens=15), strict=True):
        given = tokenizer(sentence, return_tensors="pt")
        wanted = model.generate(**given, forced_bos_token_id=language, max_new_tokens=16, num_beams=1)
        assert given["input_ids"][0].tolist() == one.text.encode(sentence)
        assert found.text == tokenizer.decode(wanted[0][2:], skip_special_tokens=True).strip()
    # The vocabulary has letters alone.
    (lost,) = one.translate(["yes"], glossary=Glossary.of({"yes": "☃"}), max_new_tokens=15)
    assert one.text.constraint("☃") is None
    assert lost.terms_lost == ("☃",)
    with pytest.raises(ConfigError, match="many languages, and target_language is missing"):
        Translator.load(tmp_path, source_language=source)
    with pytest.raises(ConfigError, match="does not know the language 'xx'"):
        Translator.load(tmp_path, source_language=source, target_language="xx")


def test_what_is_no_translation_checkpoint_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be read as a checkpoint of transformers"):
        Translator.load(tmp_path)
    with pytest.raises(ConfigError, match="does not translate to 'fr'"):
        Translator.load(CHECKPOINT, target_language="fr")
    transformers.BertConfig().save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(CHECKPOINT).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="is of kind 'bert'; translation takes Marian, M2M100 and NLLB"):
        Translator.load(tmp_path)
