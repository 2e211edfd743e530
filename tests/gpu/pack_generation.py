"""Write small networks and what transformers generates with them, for a machine without PyTorch.

    python -m tests.gpu.pack_generation FOLDER

`test_generation_on_gpu.py` reads the folder that ``TRTFORGE_GENERATION_PACK`` names.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.speech.causal import small as small_language_model
from tests.speech.generation import checkpoints, test_causal, test_greedy
from tests.speech.whisper import expected, small
from trtforge._files import write_json
from trtforge.external_data import save_model
from trtforge.speech.causal import export_language_model
from trtforge.speech.generation import export_networks
from trtforge.speech.whisper import export_whisper

NEW = 30


def pack_whisper(folder: Path, seed: int) -> None:
    """Write a Whisper checkpoint and its texts, with times and without."""
    known = export_whisper((small.model(seed), small.tokenizer()), folder)
    features = np.random.default_rng(seed).standard_normal((5, 80, 100)).astype(np.float32)
    np.savez(folder / "feeds.npz", features=features)
    texts = []
    for timestamps in (False, True):
        prompt = known.vocabulary.prompt("es", "transcribe", timestamps=timestamps)
        tokens = expected.greedy(seed, features, prompt, timestamps=timestamps, new=NEW)
        texts.append({"timestamps": timestamps, "prompts": [list(prompt)] * 5, "tokens": tokens})
    write_json(folder / "case.json", {"kind": "whisper", "new": NEW, "texts": texts})


def pack_text(folder: Path, kind: str, seed: int) -> None:
    """Write a translation checkpoint and its texts."""
    folder.mkdir(parents=True)
    model = getattr(checkpoints, kind)(seed)
    networks = export_networks(model, num_masks=2)
    save_model(networks.encoder, folder / "encoder.onnx")
    save_model(networks.decoder, folder / "decoder.onnx")
    feeds, given, lengths = test_greedy.inputs_of(kind, seed, 5)
    np.savez(folder / "feeds.npz", **feeds)
    start = model.config.decoder_start_token_id
    prompts = [[start], [start, 20], [start, 21, 22], [start], [start, 30, 31, 32, 33]]
    case: dict[str, Any] = {
        "kind": kind,
        "new": test_greedy.NEW,
        "stop": model.config.eos_token_id,
        "num_positions": networks.num_positions,
        "always": sorted(test_greedy.RULES.always),
        "first": sorted(test_greedy.RULES.first),
        "texts": [
            {"prompts": prompts, "tokens": test_greedy.expected(kind, seed, given, prompts)},
        ],
        "lengths": lengths,
    }
    write_json(folder / "case.json", case)


def pack_causal(folder: Path, kind: str, seed: int) -> None:
    """Write a causal language model and its texts; the rules of its tests are not among them."""
    checkpoint = small_language_model.write(folder / "checkpoint", kind, seed)
    export_language_model(checkpoint, folder)
    prompts = test_causal.prompts_of(seed)
    case = {
        "kind": "causal",
        "new": test_causal.NEW,
        "stop": test_causal.STOP,
        "prompts": prompts,
        "tokens": test_causal.expected(kind, seed, prompts, ruled=False),
    }
    write_json(folder / "causal.json", case)


def main(folder: Path) -> None:
    """Write every case."""
    for seed in range(3):
        pack_whisper(folder / f"whisper-{seed}", seed)
        for kind in ("marian", "m2m100"):
            pack_text(folder / f"{kind}-{seed}", kind, seed)
        for kind in ("llama", "phi3"):
            pack_causal(folder / f"{kind}-{seed}", kind, seed)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
