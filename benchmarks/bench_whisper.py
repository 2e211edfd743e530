"""Seconds and memory of a Whisper-shaped network with random weights, beside ``transformers``.

    python -m benchmarks.bench_whisper --work out/whisper --torch-python /path/to/python
    python -m benchmarks.bench_whisper --work out/whisper --shape tiny --windows 4 --device cpu

Windows of noise, each with so many forced symbols: no symbol ends a row. Stages: ``features`` (the wait for
what threads on the host compute ahead), ``encode``, ``look`` (what language and silence are read from),
``seat`` (an input's keys and values into its row), ``decode``, ``align`` (the aligner), ``warp`` (the wait
for words' times, computed in threads on the host while others are aligned). Every stage on the GPU is timed
to its end, so that none hides behind another; the decoder's steps are timed too, and the first pass is told
apart. The networks are written by the interpreter that has PyTorch, once; it times ``transformers`` in FP16
in the same run, and with ``--ctranslate2`` what faster-whisper runs on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.apart import in_torch
from benchmarks.environment import describe_run
from benchmarks.pages import to_text
from trtforge._ahead import ahead, thread_count
from trtforge._files import write_text
from trtforge.engine import BuildConfig
from trtforge.nvidia import gpus
from trtforge.nvidia.cuda import free_memory_bytes
from trtforge.speech.generation import Choice, Request, RowDecoder, Scored, Seat, generate
from trtforge.speech.whisper import WhisperDescription, WhisperRules, build_whisper, token_starts
from trtforge.speech.whisper.checkpoint import PARTS
from trtforge.speech.whisper.features import HOP_LENGTH, whisper_features
from trtforge.speech.whisper.networks import WhisperNetworks, open_networks

MODULE = "benchmarks.bench_whisper"
FORMAT = "trtforge.bench.whisper/1"
ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/whisper.json"
_STEP_TIMES = {"median_ms": 50, "p95_ms": 95, "largest_ms": 100}
PACKAGES = ("numpy", "librosa", "numba", "onnxruntime", "tensorrt", "cuda-python")


class Clock:
    """Seconds by stage; a stage inside another is not counted twice."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[float] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one piece of a stage."""
        began = time.perf_counter()
        self._open.append(0.0)
        yield
        took = time.perf_counter() - began
        self.seconds[name] += took - self._open.pop()
        if self._open:
            self._open[-1] += took


class TimedRows(RowDecoder):
    """Rows that time how inputs are put into them, and each step."""

    clock: Clock
    step_ms: list[float]

    def extend(
        self, tokens: NDArray[np.int32], positions: NDArray[np.int32], choices: Sequence[Choice]
    ) -> Scored:
        """Do as `RowDecoder.extend` does."""
        began = time.perf_counter()
        scored = super().extend(tokens, positions, choices)
        self.step_ms.append(1000 * (time.perf_counter() - began))
        return scored

    def seat(self, row: int, memory: Mapping[str, Any], index: int, length: int | None = None) -> None:
        """Do as `RowDecoder.seat` does."""
        with self.clock.stage("seat"):
            super().seat(row, memory, index, length)


def make_rows(known: WhisperDescription, networks: WhisperNetworks, options: argparse.Namespace) -> TimedRows:
    """Make the rows that every pass uses, as `Whisper` keeps an engine's from call to call."""
    return TimedRows(
        networks.decoder,
        num_rows=options.rows,
        num_positions=options.positions,
        rules=WhisperRules(known.vocabulary, known.num_symbols),
    )


def one_pass(
    known: WhisperDescription, networks: WhisperNetworks, rows: TimedRows, options: argparse.Namespace
) -> dict[str, Any]:
    """Recognise all windows once."""
    clock = rows.clock = Clock()
    rows.step_ms = []
    random = np.random.default_rng(0)
    rules = WhisperRules(known.vocabulary, known.num_symbols)
    stop: frozenset[int] = frozenset()
    prompt = (known.vocabulary.start,) * 4
    batch = options.encoder_batch
    num_samples = known.num_frames * HOP_LENGTH
    audio = [0.1 * random.standard_normal(num_samples) for _ in range(2)]
    found: dict[int, tuple[int, ...]] = {}
    states: list[Any] = []

    def features_of(index: int) -> Any:
        return whisper_features(audio[index % 2], num_mels=known.num_mels, num_frames=known.num_frames)

    with ThreadPoolExecutor(thread_count()) as threads:
        began = time.perf_counter()

        def seats() -> Iterator[Seat]:
            prepared = ahead(range(options.windows), features_of, num_ahead=2 * batch)
            for first in range(0, options.windows, batch):
                indices = range(first, min(first + batch, options.windows))
                with clock.stage("features"):
                    features = np.stack(list(islice(prepared, len(indices))))
                with clock.stage("encode"):
                    memory = networks.encode(features)
                with clock.stage("look"):
                    starts = np.full((len(indices), 1), known.vocabulary.start, np.int32)
                    _ = rows.look(memory, starts).scores
                states.append(memory["states"])
                for place, index in enumerate(indices):
                    yield Seat(Request(prompt, options.symbols, stop, rules, key=index), memory, place)

        with clock.stage("decode"):
            for one in generate(rows, seats()):
                found[one.request.key] = one.tokens
        num_steps = known.num_frames // 2
        times: list[Future[Any]] = []
        for group, state in enumerate(states):
            indices = range(group * batch, min((group + 1) * batch, options.windows))
            with clock.stage("align"):
                tokens = np.array([[*prompt, *found[index]] for index in indices], np.int32)
                attention = networks.align(state, tokens)
            times += [
                threads.submit(token_starts, one, median_width=known.median_width)
                for one in attention[:, :, len(prompt) :, :num_steps]
            ]
        with clock.stage("warp"):
            for waited in times:
                waited.result()
    total = time.perf_counter() - began
    used = _used_bytes(options)
    if any(len(tokens) != options.symbols for tokens in found.values()) or len(found) != options.windows:
        raise RuntimeError("a window did not get its symbols")
    return {
        "total_seconds": round(total, 4),
        "stages": {name: round(seconds, 4) for name, seconds in clock.seconds.items()},
        "steps": {
            "count": len(rows.step_ms),
            **{name: round(float(np.percentile(rows.step_ms, at)), 3) for name, at in _STEP_TIMES.items()},
        },
        "gpu_bytes": used,
    }


def build_missing(options: argparse.Namespace) -> dict[str, float]:
    """Build the engines that the folder lacks, and return the seconds that each took, now or before."""
    for part in options.build_only or PARTS:
        if not (options.work / f"{part}.engine").is_file():
            began = time.perf_counter()
            build_whisper(
                options.work,
                num_rows=options.rows,
                encoder_batch=options.encoder_batch,
                num_positions=options.positions,
                config=BuildConfig(
                    precision="float16",
                    optimization_level=options.optimization_level,
                    direct_io=part in options.direct_io,
                ),
                parts=(part,),
            )
            took = round(time.perf_counter() - began, 1)
            # A file each, since parts may be built side by side.
            (options.work / f"{part}.seconds").write_text(str(took))
            print("built", part, took, flush=True)
    return {path.stem: float(path.read_text()) for path in sorted(options.work.glob("*.seconds"))}


def _used_bytes(options: argparse.Namespace) -> int | None:
    return options.free_before - free_memory_bytes() if options.device == "gpu" else None


def main(arguments: list[str] | None = None) -> int:
    """Export, build, measure, compare, write the JSON."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    if not (options.work / "whisper.json").is_file():
        in_torch(
            options.torch_python, "benchmarks.whisper.checkpoint", "--shape", options.shape, str(options.work)
        )
    known = WhisperDescription.load(options.work)
    result: dict[str, Any] = {
        "format": FORMAT,
        **describe_run(MODULE, given, packages=PACKAGES),
        "shape": options.shape,
        "windows": options.windows,
        "audio_seconds": options.windows * known.num_frames / 100,
        "symbols": options.symbols,
        "rows": options.rows,
        "encoder_batch": options.encoder_batch,
        "device": options.device,
        "build_seconds": None,
        "passes": [],
        "transformers": None,
        "ctranslate2": None,
    }
    if options.device == "gpu":
        gpus()
        options.free_before = free_memory_bytes()
        result["build_seconds"] = build_missing(options)
    if options.build_only:
        return 0
    networks = open_networks(options.work, options.device)
    rows = make_rows(known, networks, options)
    result["first_pass"] = one_pass(known, networks, rows, options)
    for _ in range(options.repeats):
        result["passes"].append(one_pass(known, networks, rows, options))
        print(result["passes"][-1], flush=True)
        write_text(options.output, to_text(result))
    rows.close()
    networks.close()
    peers = {"transformers": not options.no_transformers, "ctranslate2": options.ctranslate2}
    for peer in (name for name, wanted in peers.items() if wanted and options.device == "gpu"):
        result[peer] = time_peer(peer, options)
        print(peer, result[peer], flush=True)
        write_text(options.output, to_text(result))
    return 0


def time_peer(peer: str, options: argparse.Namespace) -> dict[str, Any]:
    """Time another program on the same windows; where it fails, that is told, and no pass is lost."""
    try:
        told = in_torch(
            options.torch_python,
            f"benchmarks.whisper.{peer}_speed",
            *("--shape", options.shape, "--windows", str(options.windows)),
            *("--symbols", str(options.symbols), "--batches", *map(str, options.batches)),
        )
    except subprocess.CalledProcessError as error:
        return {"failed": f"ended with status {error.returncode}"}
    return dict(json.loads(told.splitlines()[-1]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for networks and engines")
    parser.add_argument("--output", type=Path, default=RESULT, metavar="PATH", help="the JSON")
    parser.add_argument("--torch-python", metavar="PATH", help="interpreter with PyTorch; default: this one")
    parser.add_argument("--shape", choices=("large-v3", "tiny"), default="large-v3")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="gpu")
    parser.add_argument("--windows", type=int, default=120, metavar="N")
    parser.add_argument("--symbols", type=int, default=100, metavar="N", help="forced in each window")
    parser.add_argument("--rows", type=int, default=120, metavar="N")
    parser.add_argument("--encoder-batch", type=int, default=8, metavar="N")
    parser.add_argument("--positions", type=int, default=128, metavar="N", help="symbols that a row can hold")
    parser.add_argument("--build-only", nargs="+", choices=PARTS, metavar="PART", help="build these and end")
    parser.add_argument("--optimization-level", type=int, metavar="N")
    parser.add_argument("--direct-io", nargs="+", choices=PARTS, default=(), metavar="PART", help="of these")
    parser.add_argument("--repeats", type=int, default=3, metavar="N")
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 64, 120], help="of the others")
    parser.add_argument("--no-transformers", action="store_true")
    parser.add_argument("--ctranslate2", action="store_true", help="time it too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
