"""Text generated through TensorRT on a GPU is that of transformers; see `tests.gpu.pack_generation`."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.gpu.needs import why_not
from trtforge.engine import BuildConfig, build
from trtforge.model import load_model, model_inputs
from trtforge.profiles import OptimizationProfile, ShapeRange
from trtforge.runtime import Session
from trtforge.speech import Whisper
from trtforge.speech.generation import Request, RowDecoder, Seat, Suppress, decoder_profiles, generate
from trtforge.speech.whisper import (
    Fallback,
    TranscribeSettings,
    WhisperDescription,
    WhisperRules,
    build_whisper,
)

PACK = os.environ.get("TRTFORGE_GENERATION_PACK")
_REASON = why_not("cuda.bindings.nvrtc", "onnxruntime") or (
    None if PACK else "TRTFORGE_GENERATION_PACK names no folder that tests.gpu.pack_generation wrote"
)
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))

CASES = sorted(path.parent.name for path in Path(PACK).glob("*/case.json")) if PACK else ["none"]
CONFIG = BuildConfig(precision="float32", tf32=False)
ROWS = 3


def encoder_profile(inputs, feeds):
    shapes = {}
    for spec in inputs:
        high = feeds[spec.name].shape
        low = tuple(1 if isinstance(size, str) else size for size in spec.shape)
        shapes[spec.name] = ShapeRange(low, high, high)
    return OptimizationProfile(shapes)


@pytest.mark.parametrize("name", CASES)
def test_tokens_are_those_of_transformers(name):
    folder = Path(PACK) / name
    case = json.loads((folder / "case.json").read_text())
    feeds = dict(np.load(folder / "feeds.npz"))
    is_whisper = case["kind"] == "whisper"
    known = WhisperDescription.load(folder) if is_whisper else None
    num_positions = known.num_positions if is_whisper else case["num_positions"]
    lengths = [None] * 5 if is_whisper else case["lengths"]
    longest = None if is_whisper else max(lengths)
    inputs = model_inputs(load_model(folder / "encoder.onnx"))
    encoder = build(
        folder / "encoder.onnx",
        profiles=[encoder_profile(inputs, feeds)], config=CONFIG, flavor="tensorrt",
    )  # fmt: skip
    sizes = {"num_rows": ROWS, "num_positions": num_positions, "memory_length": longest, "bucket": 8}
    profiles = decoder_profiles(model_inputs(load_model(folder / "decoder.onnx")), max_look=5, **sizes)
    decoder = build(folder / "decoder.onnx", profiles=profiles, config=CONFIG, flavor="tensorrt")
    with Session(encoder) as encoding, Session(decoder, max_contexts=1, cuda_graphs=8) as session:
        memory = encoding.run(feeds, outputs="device")
        for text in case["texts"]:
            if is_whisper:
                rules = WhisperRules(known.vocabulary, known.num_symbols, text["timestamps"])
                stop = frozenset({known.vocabulary.stop})
            else:
                rules = Suppress(frozenset(case["always"]), frozenset(case["first"]))
                stop = frozenset({case["stop"]})
            rows = RowDecoder(session, rules=rules, **sizes)
            seats = (
                Seat(Request(tuple(prompt), case["new"], stop, rules, key=row), memory, row, lengths[row])
                for row, prompt in enumerate(text["prompts"])
            )
            found = {one.request.key: list(one.tokens) for one in generate(rows, seats)}
            rows.close()
            assert [found[row] for row in range(5)] == text["tokens"]
        assert session.counts["graph_replays"] > 0


def test_transcripts_are_those_of_the_cpu(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    source = Path(PACK) / "whisper-0"
    for path in (*source.glob("*.onnx"), source / "whisper.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    random = np.random.default_rng(0)
    audio = [0.1 * random.standard_normal(16_000 * seconds) for seconds in (3, 2)]
    soundfile.write(tmp_path / "a.wav", np.concatenate([audio[0], np.zeros(80_000), audio[1]]), 16_000)
    build_whisper(tmp_path, num_rows=ROWS, encoder_batch=2, config=CONFIG, flavor="tensorrt")
    settings = TranscribeSettings(fallback=Fallback(temperatures=(0.0,)))
    found = []
    for device in ("cpu", "gpu"):
        with Whisper.load(tmp_path, device=device, num_rows=ROWS, encoder_batch=2) as whisper:
            found.append(whisper.transcribe(tmp_path / "a.wav", settings))
    wanted, ours = found
    assert ours.text == wanted.text
    assert len(ours.words) == len(wanted.words) > 0
    for one, other in zip(ours.words, wanted.words, strict=True):
        assert abs(one.start - other.start) <= 0.02 + 1e-9
        assert one.probability == pytest.approx(other.probability, abs=1e-3)
