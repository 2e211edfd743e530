"""Make a Marian checkpoint of a known shape with random weights, export it, and time `transformers` on it.

    python -m benchmarks.translation.checkpoint --shape base FOLDER
    python -m benchmarks.translation.checkpoint --shape base --time < sources.json

The second reads lists of symbols, and prints JSON: seconds for all of them in FP16, by batch.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from trtforge.speech.generation.export import export_networks
from trtforge.speech.translation.networks import write_networks

# Width, layers of encoder and decoder, heads, symbols; base is what OPUS-MT's models have.
SHAPES = {"base": (512, 6, 8, 58_101), "tiny": (64, 2, 4, 1_000)}
END = 0


def make_checkpoint(shape: str, seed: int = 0) -> Any:
    """Return a ``MarianMTModel`` with random weights, in FP32 on the CPU."""
    width, layers, heads, symbols = SHAPES[shape]
    torch.manual_seed(seed)
    config = transformers.MarianConfig(
        vocab_size=symbols, d_model=width, encoder_layers=layers, decoder_layers=layers,
        encoder_attention_heads=heads, decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width, max_position_embeddings=512,
        scale_embedding=True, pad_token_id=symbols - 1, eos_token_id=END,
        decoder_start_token_id=symbols - 1, forced_eos_token_id=None,
    )  # fmt: skip
    return transformers.MarianMTModel(config).eval()


def time_batch(model: Any, work: Sequence[dict[str, Any]], batch: int, repeats: int) -> dict[str, Any]:
    """Return seconds for all sources, sorted by length, each batch as long as its longest."""
    device = model.device
    ranked = sorted(work, key=lambda one: -int(one["new"]))
    groups = []
    for begin in range(0, len(ranked), batch):
        part = ranked[begin : begin + batch]
        longest = max(len(one["source"]) for one in part)
        tokens = torch.full((len(part), longest), model.config.pad_token_id)
        for row, one in enumerate(part):
            tokens[row, : len(one["source"])] = torch.tensor(one["source"])
        mask = torch.arange(longest)[None] < torch.tensor([[len(one["source"])] for one in part])
        groups.append((tokens.to(device), mask.long().to(device), max(one["new"] for one in part)))
    seconds = []
    for _ in range(repeats + 1):
        if device.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        for tokens, mask, new in groups:
            model.generate(
                input_ids=tokens, attention_mask=mask, min_new_tokens=new, max_new_tokens=new,
                num_beams=1, do_sample=False,
            ).cpu()  # fmt: skip
        seconds.append(time.perf_counter() - began)
    return {"batch": batch, "seconds": round(min(seconds[1:]), 4)}


def main() -> None:
    """Export, or time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--shape", choices=tuple(SHAPES), default="base")
    parser.add_argument(
        "--time", action="store_true", help="time transformers on sources from standard input"
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    model = make_checkpoint(args.shape)
    if args.folder is not None:
        write_networks(export_networks(model, kv_dtype="float16"), args.folder)
    if args.time:
        on_gpu = torch.cuda.is_available()
        model = model.half().cuda() if on_gpu else model
        work = json.load(sys.stdin)
        with torch.no_grad():
            rows = [time_batch(model, work, batch, args.repeats) for batch in args.batches]
        best = min(rows, key=lambda row: float(row["seconds"]))
        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        print(
            json.dumps(
                {"precision": "float16" if on_gpu else "float32", "batches": rows, "best": best, **versions}
            )
        )


if __name__ == "__main__":
    main()
