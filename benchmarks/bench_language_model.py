"""Seconds of an update of key points with a TinyLlama-shaped network, beside ``transformers``.

    python -m benchmarks.bench_language_model --work out/tinyllama --torch-python /path/to/python
    python -m benchmarks.bench_language_model --work out/tiny --shape tiny --device cpu

An update reads what was added to a prompt whose rest the row holds, and writes symbols; it is told beside the
same text from nothing. The weights are random, and never end a text. The network is written by the
interpreter that has PyTorch, once. The first pass is not counted.
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
from trtforge.speech.causal import build_language_model
from trtforge.speech.causal.networks import ENGINE, open_decoder
from trtforge.speech.generation import Request, RowDecoder, Seat, generate

MODULE = "benchmarks.bench_language_model"
CHECKPOINT = "benchmarks.language_model.checkpoint"
FORMAT = "trtforge.benchmark.language_model/1"
ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/language_model.json"
POSITIONS, PREFILL = 2048, 128
_PACKAGES = ("numpy", "onnxruntime", "tensorrt", "cuda-python")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Export, build, write, compare."""
    if not (options.work / "language_model.json").is_file():
        in_torch(options.torch_python, CHECKPOINT, "--shape", options.shape, str(options.work))
    build_seconds = None
    if options.device == "gpu" and not (options.work / ENGINE).is_file():
        began = time.perf_counter()
        config = BuildConfig(precision="float16", optimization_level=options.optimization_level)
        build_language_model(options.work, num_positions=POSITIONS, max_prefill=PREFILL, config=config)
        build_seconds = round(time.perf_counter() - began, 1)
        print("built", build_seconds, flush=True)
    network, positions = open_decoder(str(options.work), options.device, max_positions=POSITIONS)
    symbols = int(next(spec for spec in network.inputs if spec.name == "masks").shape[1])
    prompt = tuple(np.random.default_rng(0).integers(3, symbols, options.held + options.added).tolist())
    rows = RowDecoder(network, num_rows=1, num_positions=positions)

    def seconds_of(held: int, new: int) -> list[float]:
        found = []
        for _ in range(options.repeats + 1):
            seat = Seat(Request(prompt, new, frozenset()), num_held=held)
            began = time.perf_counter()
            (text,) = generate(rows, [seat], max_prefill=PREFILL)
            found.append(round(time.perf_counter() - began, 4))
            if len(text.tokens) != new:
                raise RuntimeError("a text did not get its symbols")
        return found[1:]

    result: dict[str, Any] = {
        "format": FORMAT,
        "run": describe_run(MODULE, options.given, packages=_PACKAGES),
        "shape": options.shape,
        "device": options.device,
        "held": options.held,
        "added": options.added,
        "written": options.written,
        "build_seconds": build_seconds,
        "from_nothing_seconds": seconds_of(0, options.written),
        "update_seconds": seconds_of(options.held, options.written),
        "first_symbol_seconds": seconds_of(options.held, 1),
        "transformers": None,
    }
    rows.close()
    network.close()
    if not options.no_transformers:
        sizes = str(len(prompt)), str(options.written)
        told = in_torch(options.torch_python, CHECKPOINT, "--shape", options.shape, "--time", *sizes)
        result["transformers"] = json.loads(told.splitlines()[-1])
    return result


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the JSON."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for network and engine")
    parser.add_argument("--output", type=Path, default=RESULT, metavar="PATH", help="the JSON")
    parser.add_argument("--torch-python", metavar="PATH", help="interpreter with PyTorch; default: this one")
    parser.add_argument("--shape", choices=("tinyllama", "tiny"), default="tinyllama")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="gpu")
    parser.add_argument("--held", type=int, default=1024, metavar="N", help="symbols that the row holds")
    parser.add_argument("--added", type=int, default=40, metavar="N", help="symbols that an update reads")
    parser.add_argument("--written", type=int, default=64, metavar="N", help="symbols that it writes")
    parser.add_argument("--repeats", type=int, default=5, metavar="N")
    parser.add_argument("--optimization-level", type=int, metavar="N")
    parser.add_argument("--no-transformers", action="store_true")
    options = parser.parse_args(given)
    options.given = given
    result = measure(options)
    write_text(options.output, to_text(result))
    update, whole = (float(np.median(result[f"{name}_seconds"])) for name in ("update", "from_nothing"))
    print(f"update {update:.3f} s, from nothing {whole:.3f} s; {result['transformers']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
