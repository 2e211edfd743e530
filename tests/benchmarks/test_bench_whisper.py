import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxruntime")

from benchmarks import bench_whisper
from benchmarks.whisper import checkpoint
from tests.speech.whisper import small
from trtforge.speech.whisper import export_whisper


def test_every_window_gets_its_symbols_and_every_stage_is_timed(tmp_path):
    export_whisper((small.model(), small.tokenizer()), tmp_path / "work")
    output = tmp_path / "whisper.json"
    sizes = [
        "--windows",
        "5",
        "--symbols",
        "12",
        "--rows",
        "3",
        "--encoder-batch",
        "2",
        "--positions",
        "64",
        "--repeats",
        "2",
    ]
    argv = [
        "--work",
        str(tmp_path / "work"),
        "--device",
        "cpu",
        "--output",
        str(output),
        *sizes,
        "--repeats=2",
    ]
    assert bench_whisper.main(argv) == 0
    told = json.loads(output.read_text())
    assert told["audio_seconds"] == 5
    assert len(told["passes"]) == 2
    for one in [told["first_pass"], *told["passes"]]:
        steps = one["steps"]
        assert steps["count"] == 24  # two rounds of rows, each the prompt and 11 symbols
        assert 0 < steps["median_ms"] <= steps["p95_ms"] <= steps["largest_ms"]
        assert set(one["stages"]) == {"features", "encode", "look", "seat", "decode", "align", "warp"}
        assert 0 < sum(one["stages"].values()) <= one["total_seconds"] * 1.01


def test_ctranslate2_is_given_the_same_network(tmp_path):
    ctranslate2 = pytest.importorskip("ctranslate2")
    import torch
    from transformers.generation import GenerationMixin

    from benchmarks.whisper import ctranslate2_speed

    bands, no_times = ctranslate2_speed.convert("tiny", str(tmp_path))
    theirs = ctranslate2.models.Whisper(str(tmp_path), device="cpu", compute_type="float32")
    features, prompt = torch.randn(2, bands, 3000), [checkpoint.START] * 3 + [no_times]
    assert ctranslate2_speed.run(theirs, features, 6, 2, no_times) == 12
    found = theirs.generate(
        ctranslate2.StorageView.from_array(features.numpy()),
        [prompt] * 2, beam_size=1, max_length=12, suppress_blank=False, suppress_tokens=[checkpoint.STOP],
    )  # fmt: skip
    with torch.no_grad():
        wanted = GenerationMixin.generate(
            checkpoint.make_checkpoint("tiny"),
            input_features=features, decoder_input_ids=torch.tensor([prompt] * 2),
            min_new_tokens=6, max_new_tokens=6, do_sample=False,
        )  # fmt: skip
    assert [one.sequences_ids[0] for one in found] == wanted[:, -6:].tolist()


def test_shapes_are_those_of_the_checkpoints():
    width, layers, heads, bands, symbols = checkpoint.SHAPES["large-v3"]["sizes"]
    assert (width // heads, layers, bands, symbols) == (64, 32, 128, 51866)
    assert max(layer for layer, _ in checkpoint.SHAPES["large-v3"]["heads"]) == 25
    model = checkpoint.make_checkpoint("tiny")
    assert sum(parameter.numel() for parameter in model.parameters()) == 37_760_640
