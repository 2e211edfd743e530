"""Make a Llama checkpoint of a known shape with random weights, export it, and time `transformers` on it.

    python -m benchmarks.language_model.checkpoint --shape tinyllama FOLDER
    python -m benchmarks.language_model.checkpoint --shape tinyllama --time 1064 64

The second prints JSON: seconds to write 64 symbols after a prompt of 1064, in FP16 on a GPU.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
import transformers

from trtforge.external_data import save_model
from trtforge.speech.causal.networks import DECODER, describe_network
from trtforge.speech.generation import export_causal

# Width, feed-forward width, layers, heads, heads of keys, symbols, positions; the first is TinyLlama 1.1B's.
SHAPES = {
    "tinyllama": (2048, 5632, 22, 32, 4, 32_000, 2048),
    "tiny": (64, 128, 2, 4, 2, 1_000, 2048),
}


def make_checkpoint(shape: str, seed: int = 0) -> Any:
    """Return a ``LlamaForCausalLM`` with random weights, in FP32 on the CPU."""
    width, feed, layers, heads, key_heads, symbols, positions = SHAPES[shape]
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=symbols, hidden_size=width, intermediate_size=feed, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=key_heads, max_position_embeddings=positions,
        tie_word_embeddings=False,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval()


def time_text(model: Any, num_prompt: int, num_new: int, repeats: int) -> float:
    """Return the least seconds to read a prompt and write symbols after it."""
    tokens = torch.randint(3, model.config.vocab_size, (1, num_prompt), device=model.device)
    seconds = []
    for _ in range(repeats + 1):
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        with torch.no_grad():
            model.generate(
                tokens, attention_mask=torch.ones_like(tokens), min_new_tokens=num_new,
                max_new_tokens=num_new, do_sample=False,
            ).cpu()  # fmt: skip
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def main() -> None:
    """Export, or time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--shape", choices=tuple(SHAPES), default="tinyllama")
    parser.add_argument("--time", type=int, nargs=2, metavar=("PROMPT", "NEW"))
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    model = make_checkpoint(args.shape)
    if args.folder is not None:
        network = export_causal(model, kv_dtype="float16")
        args.folder.mkdir(parents=True, exist_ok=True)
        save_model(network.decoder, args.folder / DECODER)
        describe_network(args.folder, network.num_positions)
    if args.time:
        on_gpu = torch.cuda.is_available()
        model = model.half().cuda() if on_gpu else model
        num_prompt, num_new = args.time
        seconds = round(time_text(model, num_prompt, num_new, args.repeats), 4)
        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        precision = "float16" if on_gpu else "float32"
        print(json.dumps({"precision": precision, "seconds": seconds, **versions}))


if __name__ == "__main__":
    main()
