import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("sentencepiece")
pytest.importorskip("onnxruntime")

from examples.models.en_es.grammar import FOLDER
from trtforge.cli import main

MODEL = str(FOLDER / "checkpoint")


def test_lines_are_translated_and_terms_counted(tmp_path, capsys):
    text = tmp_path / "en.txt"
    text.write_text("We build an engine.\n\nZephyr is fast.\n", encoding="utf-8")
    terms = tmp_path / "terms.txt"
    terms.write_text("engine\tmotor\nZephyr\n", encoding="utf-8")
    output, told = tmp_path / "es.txt", tmp_path / "es.json"
    argv = ["translate", MODEL, str(text), "--glossary", str(terms), "-o", str(output), "--json", str(told)]
    assert main(argv) == 0
    lines = output.read_text(encoding="utf-8").split("\n")
    assert lines[:2] == ["Construimos un motor.", ""]
    assert "Zephyr" in lines[2]
    assert "terms kept: 100.0 % of 2" in capsys.readouterr().out
    rows = json.loads(told.read_text(encoding="utf-8"))["lines"]
    assert [row["method"] for row in rows] == ["greedy", "greedy", "placeholders"]
    assert [row["terms_kept"] for row in rows] == [["motor"], [], ["Zephyr"]]


def test_what_cannot_be_is_explained(tmp_path, capsys):
    text = tmp_path / "en.txt"
    text.write_text("We build an engine.\n", encoding="utf-8")
    assert main(["translate", MODEL, str(text), "--to", "fr"]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "does not translate to 'fr'" in error
    assert "option target_language: --to" in error
    assert main(["translate", MODEL, str(text), "--device", "gpu"]) == 2
    assert "lacks encoder.engine, decoder.engine" in " ".join(capsys.readouterr().err.split())
