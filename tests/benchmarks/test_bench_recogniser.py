"""The model card says what was measured of the network that is there."""

import json

from benchmarks.bench_recogniser import CARD, MODEL, RESULT, fill, table
from trtforge.model import load_model, model_digest


def test_the_card_shows_the_committed_numbers() -> None:
    result, card = json.loads(RESULT.read_text()), CARD.read_text()
    assert fill(card, result) == card
    assert table(result).splitlines()[2].startswith("| all clips | 240 |")


def test_the_numbers_are_of_the_committed_network() -> None:
    assert json.loads(RESULT.read_text())["model_sha256"] == model_digest(load_model(MODEL))


def test_int8_keeps_to_its_budget() -> None:
    result = json.loads(RESULT.read_text())
    everything = result["parts"][0]
    increase = (everything["errors"]["INT8"] - everything["errors"]["FP32"]) / everything["num_words"]
    assert increase <= 0.01
    assert result["worst_stratum"]["wer_increase"] <= 0.025
