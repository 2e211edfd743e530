"""Make a Whisper checkpoint of a known shape with random weights, and export it.

python -m benchmarks.whisper.checkpoint --shape large-v3 FOLDER
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
import transformers

from trtforge.external_data import save_model
from trtforge.speech.generation.export import KvDtype, export_aligner, export_decoder, export_encoder
from trtforge.speech.whisper.checkpoint import PARTS, WhisperDescription
from trtforge.speech.whisper.rules import NUM_MASKS
from trtforge.speech.whisper.vocabulary import WhisperVocabulary

# Width, layers of encoder and decoder, heads, bands, symbols; and alignment heads as the checkpoint's own.
SHAPES: dict[str, dict[str, Any]] = {
    "large-v3": {
        "sizes": (1280, 32, 20, 128, 51866),
        "heads": [
            (7, 0),
            (10, 17),
            (12, 18),
            (13, 12),
            (16, 1),
            (17, 14),
            (19, 11),
            (21, 4),
            (24, 1),
            (25, 6),
        ],
    },
    "tiny": {"sizes": (384, 4, 6, 80, 51865), "heads": [(2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5)]},
}
START, STOP = 50258, 50257


def make_checkpoint(shape: str, seed: int = 0) -> Any:
    """Return a ``WhisperForConditionalGeneration`` with random weights, in FP32 on the CPU."""
    width, layers, heads, bands, symbols = SHAPES[shape]["sizes"]
    torch.manual_seed(seed)
    config = transformers.WhisperConfig(
        vocab_size=symbols,
        num_mel_bins=bands,
        d_model=width,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        decoder_start_token_id=START,
        eos_token_id=STOP,
        bos_token_id=STOP,
        pad_token_id=STOP,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    return transformers.WhisperForConditionalGeneration(config).eval()


def speed_options(description: str | None) -> argparse.ArgumentParser:
    """Make the options that all share who are timed on a checkpoint."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--shape", choices=tuple(SHAPES), default="large-v3")
    parser.add_argument("--windows", type=int, default=120)
    parser.add_argument("--symbols", type=int, default=100)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 32, 64, 120])
    parser.add_argument("--repeats", type=int, default=1)
    return parser


def main() -> None:
    """Write the networks and the description."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", choices=tuple(SHAPES), default="large-v3")
    parser.add_argument("--parts", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--kv-dtype", choices=get_args(KvDtype), default="float16")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    model = make_checkpoint(options.shape)
    exports = {
        "encoder": partial(export_encoder, model),
        "decoder": partial(export_decoder, model, num_masks=NUM_MASKS, ranged=True),
        "aligner": partial(export_aligner, model, SHAPES[options.shape]["heads"]),
    }
    for part in options.parts:
        save_model(exports[part](kv_dtype=options.kv_dtype), options.folder / f"{part}.onnx")
    symbols = model.config.vocab_size
    # Symbols without text: what is said is not read.
    vocabulary = WhisperVocabulary(
        tuple(b"" for _ in range(STOP)), START, STOP, symbols - 1503, symbols - 1502, {}, {}, (), ()
    )
    WhisperDescription(vocabulary, symbols, model.config.num_mel_bins, 3000, 448, 7).save(options.folder)


if __name__ == "__main__":
    main()
