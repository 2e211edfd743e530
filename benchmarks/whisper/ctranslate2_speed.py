"""Time CTranslate2, the engine of faster-whisper, on windows of noise, each with so many forced symbols.

    python -m benchmarks.whisper.ctranslate2_speed --windows 120 --symbols 100 --batches 16 32 64 120

The weights are those that ``transformers`` is timed with. It is the part of faster-whisper that counts:
features lie on the GPU beforehand, and there are no tokenizer, no times of words and no splitting of audio.
Prints JSON: seconds for all windows by type and batch, the best, and the memory that the GPU held for it.
"""

from __future__ import annotations

import json
import tempfile
import time
from typing import Any

import ctranslate2
import torch
from ctranslate2.converters.transformers import WhisperLoader

from benchmarks.whisper.checkpoint import SHAPES, START, STOP, make_checkpoint, speed_options


def convert(shape: str, folder: str) -> tuple[int, int]:
    """Write a checkpoint as CTranslate2 reads it, in FP16; return its bands, and its symbol for no times."""
    model = make_checkpoint(shape)
    loader = WhisperLoader()
    spec = loader.get_model_spec(model)
    spec.config.alignment_heads = SHAPES[shape]["heads"]
    spec.config.suppress_ids = spec.config.suppress_ids_begin = spec.config.lang_ids = []
    names = [f"<{number}>" for number in range(model.config.vocab_size)]
    names[START], names[STOP] = "<|startoftranscript|>", "<|endoftext|>"
    names[-1503], names[-1502] = "<|nospeech|>", "<|notimestamps|>"
    spec.register_vocabulary(names)
    spec.validate()
    spec.optimize(quantization="float16")
    spec.save(folder)
    return model.config.num_mel_bins, len(names) - 1502


def run(model: Any, features: Any, num_symbols: int, batch: int, no_times: int) -> int:
    """Generate for all windows; return the number of symbols."""
    count = 0
    for begin in range(0, len(features), batch):
        part = features[begin : begin + batch]
        if part.device.type == "cpu":
            part = part.numpy()
        found = model.generate(
            ctranslate2.StorageView.from_array(part),
            [[START, START, START, no_times]] * len(part),
            beam_size=1,
            # Half of it, or what the prompt leaves, is written.
            max_length=max(2 * num_symbols, num_symbols + 4),
            suppress_blank=False,
            suppress_tokens=[STOP],
        )
        count += sum(len(one.sequences_ids[0]) for one in found)
    return count


def main() -> None:
    """Measure every type and batch that fits."""
    parser = speed_options(__doc__)
    parser.add_argument("--types", nargs="+", default=["float16", "int8_float16"])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    options = parser.parse_args()
    found: list[dict[str, Any]] = []
    on_gpu = options.device == "cuda"
    with tempfile.TemporaryDirectory() as folder:
        bands, no_times = convert(options.shape, folder)
        dtype = torch.float16 if on_gpu else torch.float32
        features = torch.randn(options.windows, bands, 3000, device=options.device, dtype=dtype)
        for kind in options.types:
            free = torch.cuda.mem_get_info()[0] if on_gpu else 0
            model = ctranslate2.models.Whisper(folder, device=options.device, compute_type=kind)
            for batch in options.batches:
                row = {"type": kind, "batch": batch, "seconds": None, "gpu_bytes": None}
                try:
                    seconds = []
                    for _ in range(options.repeats + 1):
                        began = time.perf_counter()
                        count = run(model, features, options.symbols, batch, no_times)
                        seconds.append(time.perf_counter() - began)
                        if count != options.windows * options.symbols:
                            raise SystemExit(f"{count} symbols instead of {options.symbols} a window")
                    row["seconds"] = round(min(seconds[1:]), 3)
                    row["gpu_bytes"] = free - torch.cuda.mem_get_info()[0] if on_gpu else None
                except RuntimeError as error:  # what lacks memory, above all
                    row["failed"] = str(error).splitlines()[0]
                found.append(row)
            del model
    best = min((one for one in found if one["seconds"]), key=lambda one: one["seconds"])
    versions = {"ctranslate2": ctranslate2.__version__, "torch": torch.__version__}
    print(json.dumps({"batches": found, "best": best, "versions": versions}))


if __name__ == "__main__":
    main()
