"""Seconds for 1,000 words with a Marian-shaped network of random weights, beside ``transformers`` in FP16.

    python -m benchmarks.bench_translation --work out/marian --torch-python /path/to/python
    python -m benchmarks.bench_translation --work out/marian_tiny --shape tiny --device cpu

Sentences have 20 words on average, and a word is counted as 1.4 symbols on both sides. Random weights never
end a sentence: each is given as many symbols as its source has. The networks are written by the interpreter
that has PyTorch, once; it times ``transformers`` on the same sources, without tokenizers on either side. The
first pass is not counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.apart import in_torch
from benchmarks.environment import describe_run
from benchmarks.pages import to_text
from trtforge._files import write_text
from trtforge.engine import BuildConfig
from trtforge.speech.translation import SequenceTranslator, build_translator
from trtforge.speech.translation.networks import open_networks

MODULE = "benchmarks.bench_translation"
CHECKPOINT = "benchmarks.translation.checkpoint"
FORMAT = "trtforge.benchmark.translation/1"
ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/translation.json"
WORDS_PER_SENTENCE, SYMBOLS_PER_WORD = 20, 1.4
_PACKAGES = ("numpy", "onnxruntime", "tensorrt", "cuda-python")


def sources_of(num_words: int, num_symbols: int, seed: int = 0) -> list[list[int]]:
    """Draw sources whose lengths vary by half about their mean, and sum to what the words make."""
    random = np.random.default_rng(seed)
    count = max(1, num_words // WORDS_PER_SENTENCE)
    shares = random.uniform(0.5, 1.5, count)
    lengths = np.maximum(2, shares / shares.sum() * num_words * SYMBOLS_PER_WORD).round().astype(int)
    return [random.integers(2, num_symbols - 2, length).tolist() for length in lengths]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Export, build, translate, compare."""
    if not (options.work / "translator.json").is_file():
        in_torch(options.torch_python, CHECKPOINT, "--shape", options.shape, str(options.work))
    build_seconds = None
    if options.device == "gpu" and not (options.work / "decoder.engine").is_file():
        began = time.perf_counter()
        config = BuildConfig(precision="float16", optimization_level=options.optimization_level)
        build_translator(options.work, num_rows=options.rows, max_source=64, num_positions=64, config=config)
        build_seconds = round(time.perf_counter() - began, 1)
        print("built", build_seconds, flush=True)
    networks, num_positions = open_networks(str(options.work), options.device, num_masks=1)
    num_symbols = int(next(spec for spec in networks[1].inputs if spec.name == "masks").shape[1])
    sources = sources_of(options.words, num_symbols)
    limits = [len(source) for source in sources]
    translator = SequenceTranslator(
        *networks, num_positions, (num_symbols - 1,), frozenset(), max_batch=options.rows
    )
    seconds = []
    for _ in range(options.repeats + 1):
        began = time.perf_counter()
        found = translator.translate(sources, limits)
        seconds.append(round(time.perf_counter() - began, 4))
        if [len(one.tokens) for one in found] != limits:
            raise RuntimeError("a sentence did not get its symbols")
    translator.close()
    for network in networks:
        network.close()
    result: dict[str, Any] = {
        "format": FORMAT,
        "run": describe_run(MODULE, options.given, packages=_PACKAGES),
        "shape": options.shape,
        "device": options.device,
        "words": options.words,
        "sentences": len(sources),
        "symbols": sum(limits),
        "rows": options.rows,
        "build_seconds": build_seconds,
        "seconds": seconds[1:],
        "median_seconds": float(np.median(seconds[1:])),
        "transformers": None,
    }
    if not options.no_transformers:
        work = json.dumps(
            [{"source": source, "new": limit} for source, limit in zip(sources, limits, strict=True)]
        )
        told = in_torch(options.torch_python, CHECKPOINT, "--shape", options.shape, "--time", given=work)
        result["transformers"] = json.loads(told.splitlines()[-1])
    return result


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the JSON."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for networks and engines")
    parser.add_argument("--output", type=Path, default=RESULT, metavar="PATH", help="the JSON")
    parser.add_argument("--torch-python", metavar="PATH", help="interpreter with PyTorch; default: this one")
    parser.add_argument("--shape", choices=("base", "tiny"), default="base")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="gpu")
    parser.add_argument("--words", type=int, default=1000, metavar="N")
    parser.add_argument("--rows", type=int, default=50, metavar="N", help="sentences at a time")
    parser.add_argument("--repeats", type=int, default=5, metavar="N")
    parser.add_argument("--optimization-level", type=int, metavar="N")
    parser.add_argument("--no-transformers", action="store_true")
    options = parser.parse_args(given)
    options.given = given
    result = measure(options)
    write_text(options.output, to_text(result))
    print(f"{result['median_seconds']:.3f} s for {result['words']} words; {result['transformers']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
