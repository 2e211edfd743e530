"""The grammar that the English-Spanish model is trained on."""

import json
import re

import numpy as np
import pytest

from benchmarks import bench_en_es
from examples.models.en_es.conjugation import SpanishVerb, english_form
from examples.models.en_es.corpus import as_spoken, make_corpus
from examples.models.en_es.grammar import FOLDER, PLACEHOLDERS, Grammar, finish_english, finish_spanish
from examples.models.en_es.lexicon import rows


@pytest.mark.parametrize(
    ("verb", "form", "person", "word"),
    [
        (SpanishVerb("usar"), "pres", 3, "usa"),
        (SpanishVerb("usar"), "Pres", 4, "Usamos"),
        (SpanishVerb("leer", {"part": "leído"}), "part", 3, "leído"),
        (SpanishVerb("escribir"), "past", 6, "escribieron"),
        (SpanishVerb("oír", {"3": "oye"}), "fut", 3, "oirá"),
        (SpanishVerb("oír", {"3": "oye"}), "pres", 2, "oyes"),
        (SpanishVerb("publicar", {"s3": "publique"}), "neg", 2, "publiques"),
        (SpanishVerb("construir", {"ger": "construyendo"}), "ger", 3, "construyendo"),
    ],
)
def test_spanish_verbs(verb, form, person, word):
    assert verb.form(form, person) == word


def test_english_verbs_and_articles():
    forms = [english_form((base, "x", "y"), "pres", 3) for base in ("carry", "play", "watch", "use")]
    assert forms == ["carries", "plays", "watches", "uses"]
    assert english_form(("run", "ran", "run"), "Ger") == "Running"
    assert finish_english("it is a engine, a unit, a GPU and a FP16 plan") == (
        "It is an engine, a unit, a GPU and an FP16 plan"
    )
    assert finish_spanish("¿va de el motor a el plan y importa?") == "¿Va del motor al plan e importa?"


def test_every_template_can_be_filled_and_leaves_no_slot():
    grammar = Grammar.load("sentences.tsv", "podcast.tsv", "variants.tsv")
    rng = np.random.default_rng(3)
    for index in range(len(grammar.templates)):
        for placeholders in (0.0, 1.0):
            english, spanish = grammar.pair(index, rng, placeholders)
            assert not re.search(r"[{}|_@]|  ", english + spanish), (english, spanish)
            found = [sorted(re.findall(r"<t\d>", text)) for text in (english, spanish)]
            assert set(found[0]) == set(found[1]) <= set(PLACEHOLDERS)


def test_articles_and_adjectives_agree_with_their_noun():
    grammar = Grammar.load("sentences.tsv")
    rng = np.random.default_rng(0)
    masculine = r"(red|capa|escala|ventana|máquina|frase|palabra)"
    feminine = r"(motor|modelo|codificador|kernel|grafo|clip|rango)"
    for index in range(len(grammar.templates)):
        for _ in range(8):
            spanish = grammar.pair(index, rng)[1]
            assert not re.search(rf"\b(un|el|los|nuestro) {masculine}", spanish), spanish
            assert not re.search(rf"\b(una|la|las|nuestra) {feminine}", spanish), spanish


def test_the_same_seed_draws_the_same_pairs_and_none_is_held_out():
    one, other = make_corpus(400, 7), make_corpus(400, 7)
    assert one == other
    assert make_corpus(400, 8).training != one.training
    held_out = {english for english, _ in one.held_out}
    assert not held_out & {english for english, _ in (*one.training, *one.script)}
    assert len(held_out) == len(one.held_out) == 2000


def test_speech_has_no_case_and_no_marks():
    rng = np.random.default_rng(0)
    texts = {as_spoken("TensorRT, with INT8: <t1>.", rng) for _ in range(60)}
    assert "tensor r t with int8: <t1>" in texts
    assert len({text.split(" with")[0] for text in texts} & {"tensor r t", "tensor rt", "tensorrt"}) == 3


def test_the_card_says_what_was_measured():
    result = json.loads(bench_en_es.RESULT.read_text(encoding="utf-8"))
    assert result["format"] == bench_en_es.FORMAT
    assert bench_en_es.page(result) in (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [part["num_sentences"] for part in result["parts"]] == [2000, 2000, 64, 64]
    assert len(list(rows(FOLDER / "podcast.tsv"))) == 64


def test_the_checkpoint_is_small_and_in_half_precision():
    weights = FOLDER / "checkpoint/model.safetensors"
    assert weights.stat().st_size < 4e6
    config = json.loads((FOLDER / "checkpoint/config.json").read_text(encoding="utf-8"))
    assert config["dtype"] == "float16"
    assert config["trtforge_placeholders"] == list(PLACEHOLDERS)
