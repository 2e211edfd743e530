"""Time ``transformers`` in FP16 on windows of noise, each with so many forced symbols.

    python -m benchmarks.whisper.transformers_speed --windows 120 --symbols 100 --batches 16 32 64 120

Prints JSON: seconds for all windows by batch, the best of them, and the GPU's memory at its peak.
"""

from __future__ import annotations

import json
import time
from typing import Any

import torch
import transformers
from transformers.generation import GenerationMixin

from benchmarks.whisper.checkpoint import START, make_checkpoint, speed_options


def time_batch(model: Any, num_windows: int, num_symbols: int, batch: int, repeats: int) -> dict[str, Any]:
    """Return seconds and peak memory for all windows in batches; features are on the GPU beforehand."""
    bands = model.config.num_mel_bins
    features = torch.randn(num_windows, bands, 3000, device="cuda", dtype=torch.float16)
    prompt = torch.full((batch, 4), START, device="cuda", dtype=torch.long)
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(repeats + 1):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for begin in range(0, num_windows, batch):
            part = features[begin : begin + batch]
            # Whisper's own generate adds work for times and windows; this is the loop alone.
            GenerationMixin.generate(
                model,
                input_features=part,
                decoder_input_ids=prompt[: len(part)],
                min_new_tokens=num_symbols,
                max_new_tokens=num_symbols,
                do_sample=False,
                num_beams=1,
            )
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return {
        "batch": batch,
        "seconds": round(min(seconds[1:]), 3),
        "peak_bytes": int(torch.cuda.max_memory_allocated()),
    }


def main() -> None:
    """Measure every batch that fits."""
    options = speed_options(__doc__).parse_args()
    model = make_checkpoint(options.shape).half().cuda()
    found: list[dict[str, Any]] = []
    with torch.no_grad():
        for batch in options.batches:
            try:
                found.append(time_batch(model, options.windows, options.symbols, batch, options.repeats))
            except torch.cuda.OutOfMemoryError:
                found.append({"batch": batch, "seconds": None, "peak_bytes": None})
                torch.cuda.empty_cache()
    best = min((one for one in found if one["seconds"]), key=lambda one: one["seconds"])
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    print(json.dumps({"batches": found, "best": best, "versions": versions}))


if __name__ == "__main__":
    main()
