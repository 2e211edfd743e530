"""Time of calibration on a GPU, against the same network's inference alone in the same run.

``python -m benchmarks.bench_device_collection`` makes an encoder of Whisper-large-v3's shape with random
weights, builds it twice with TensorRT, with and without its observed tensors shown, and runs both in turns
over windows of 30 seconds. A round is timed by the wall clock, from the first window on the host to the last
count, and by events of the GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from benchmarks.environment import describe_run
from benchmarks.networks.whisper_encoder import NUM_MEL_FRAMES, EncoderShape, whisper_encoder
from benchmarks.pages import to_text
from trtforge._files import write_text
from trtforge.calibration.clip_tally import ClipTally
from trtforge.errors import BuildError, CalibrationError, TrtforgeError
from trtforge.feeds import Feed
from trtforge.graph import prepare, tensors_to_observe
from trtforge.nvidia import select
from trtforge.nvidia.cuda import Event, free_memory_bytes, set_device
from trtforge.runtime.collection_plan import plan_collection
from trtforge.runtime.device_collection import (
    CollectingPrecision,
    build_observed,
    require_collecting_gpu,
)
from trtforge.runtime.device_collector import DeviceCollector

MODULE = "benchmarks.bench_device_collection"
FORMAT = "trtforge.bench.device_collection/1"
ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/device_collection.json"
TRIAL = ROOT / "out/device_collection.json"
# Whisper-large-v3's encoder.
LARGE = EncoderShape(num_layers=32, width=1280, num_heads=20, mel_bins=128)
WINDOWS = 512
_PACKAGES = ("numpy", "onnx", "tensorrt", "cuda-python", "cuda-bindings", "nvidia-cuda-nvrtc")


class NoiseWindows:
    """Windows of noise whose loudness rises and falls as that of syllables, scaled as Whisper's features.

    Parameters
    ----------
    num_windows : how many.
    batch : windows of a feed; the last one may have fewer.
    mel_bins : bands of a window.
    """

    def __init__(self, num_windows: int, batch: int, mel_bins: int) -> None:
        self.digest = f"{num_windows}-{mel_bins}".encode().hex().ljust(64, "0")
        self._num_windows, self._batch = num_windows, batch
        rng = np.random.default_rng(0)
        seconds = np.arange(NUM_MEL_FRAMES, dtype=np.float32) / 100
        rates = rng.uniform(2, 6, (batch, 1, 1)).astype(np.float32)
        loudness = (
            np.sin(2 * np.pi * rates * seconds) * np.linspace(1, 0.3, mel_bins, dtype=np.float32)[:, None]
        )
        noise = rng.standard_normal((batch, mel_bins, NUM_MEL_FRAMES), np.float32)
        self._mel = np.clip(0.5 * loudness + 0.3 * noise, -1, 2).astype(np.float32)

    def __len__(self) -> int:
        return self._num_windows

    def __iter__(self) -> Iterator[Feed]:
        for first in range(0, self._num_windows, self._batch):
            size = min(self._batch, self._num_windows - first)
            gain = np.float32(1 + first // self._batch % 16 / 32)
            yield Feed(
                {"mel": self._mel[:size] * gain}, tuple(f"window-{first + row}" for row in range(size))
            )


def observed_tensors(shape: EncoderShape) -> list[str]:
    """Return the names of what quantization would need, found on a narrow network with the same names."""
    narrow = EncoderShape(num_layers=shape.num_layers, width=64, num_heads=4, mel_bins=shape.mel_bins)
    return list(tensors_to_observe(prepare(whisper_encoder(narrow))))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser().parse_args(given)
    published = args.windows == WINDOWS and args.layers == LARGE.num_layers and args.width == LARGE.width
    output: Path = args.output or (RESULT if published else TRIAL)
    try:
        require_collecting_gpu(args.device)
        result = run(args)
        if args.write_plan is not None:
            return 0
    except TrtforgeError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    result["run"] = describe_run(MODULE, given, packages=_PACKAGES)
    write_text(output, to_text(result))
    print(output)
    return 0


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Build, run in turns, and return the numbers."""
    shape = EncoderShape(args.layers, args.width, args.heads, LARGE.mel_bins)
    seconds: dict[str, float] = {}
    with stage("make the network", seconds):
        model = whisper_encoder(shape)
        names = observed_tensors(shape)
    flavor = select("tensorrt")
    rows, rounds = [], []
    for precision in args.precisions:
        set_device(args.device)
        # Said to the process that builds elsewhere, where other memory may be free.
        args.activation_bytes = args.activation_bytes or int(free_memory_bytes() * 0.4)
        windows = NoiseWindows(args.windows // args.rounds, args.batch, shape.mel_bins)
        plan = plan_collection(
            model,
            windows,
            names,
            max_batch=args.batch,
            activation_bytes=args.activation_bytes,
            item_share=0.5 if precision == "float16" else 1.0,
        )
        make = partial(
            build_observed,
            model,
            plan=plan,
            flavor=flavor,
            precision=precision,
            optimization_level=args.optimization_level,
        )
        if args.write_plan is not None:
            args.write_plan.write_bytes(make(names))
            return {}
        engines = {}
        with stage(f"build both in {precision}", seconds), _built_elsewhere(args, precision) as elsewhere:
            engines["inference"] = make([])
            engines["calibration"] = make(names) if elsewhere is None else elsewhere()
        with (
            DeviceCollector(model, [], plan, flavor, engines["inference"], device=args.device) as plain,
            DeviceCollector(model, names, plan, flavor, engines["calibration"], device=args.device) as ours,
        ):
            contenders = {"inference": plain, "calibration": ours}
            with stage(f"warm up in {precision}", seconds):
                for collector in contenders.values():
                    collector.run(NoiseWindows(2 * args.batch, args.batch, shape.mel_bins), ClipTally(0.0))
            for number in range(args.rounds):
                for contender, collector in contenders.items():
                    found = timed(collector, windows)
                    rounds.append({"precision": precision, "round": number, "contender": contender, **found})
                    print(json.dumps(rounds[-1]), flush=True)
            values = check_counts(ours, args.rounds * len(windows) + 2 * args.batch, names)
        plans = {f"{contender}_plan_bytes": len(content) for contender, content in engines.items()}
        mine = [row for row in rounds if row["precision"] == precision]
        row = {**summary(mine), **plans, "num_tensors": len(names), "values_per_window": values}
        rows.append({"precision": precision, "batch": plan.max_rows, "library": str(flavor), **row})
        print(json.dumps(rows[-1]), flush=True)
    settings = {
        "layers": shape.num_layers,
        "width": shape.width,
        "heads": shape.num_heads,
        "mel_bins": shape.mel_bins,
        "windows": args.windows // args.rounds * args.rounds,
        "optimization_level": args.optimization_level,
    }
    return {"format": FORMAT, "settings": settings, "rows": rows, "rounds": rounds, "stages_s": seconds}


def timed(collector: DeviceCollector, windows: NoiseWindows) -> dict[str, float]:
    """Run all windows once; return seconds by the wall clock and by the GPU."""
    with Event() as start, Event() as end:
        begun = time.perf_counter()
        start.record(collector.stream)
        collector.run(windows, ClipTally(0.0))
        end.record(collector.stream)
        device_s = end.elapsed_ms(start) / 1000
        wall_s = time.perf_counter() - begun
    return {"windows": len(windows), "wall_s": round(wall_s, 4), "device_s": round(device_s, 4)}


def summary(rounds: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the totals of both contenders, and the ratio of their times with its spread over the rounds."""
    found: dict[str, float] = {}
    for clock in ("wall_s", "device_s"):
        times = {
            contender: [row[clock] for row in rounds if row["contender"] == contender]
            for contender in ("inference", "calibration")
        }
        found |= {f"{contender}_{clock}": round(sum(values), 3) for contender, values in times.items()}
        ratios = [ours / plain for plain, ours in zip(times["inference"], times["calibration"], strict=True)]
        kind = clock.removesuffix("_s")
        found[f"{kind}_ratio"] = round(sum(times["calibration"]) / sum(times["inference"]), 3)
        found[f"{kind}_ratio_median"] = round(statistics.median(ratios), 3)
        found[f"{kind}_ratio_least"], found[f"{kind}_ratio_most"] = (
            round(limit(ratios), 3) for limit in (min, max)
        )
    return found


def check_counts(collector: DeviceCollector, num_windows: int, names: Sequence[str]) -> int:
    """Return the number of values counted in a window.

    Raises
    ------
    CalibrationError : a tensor has another number of values in some windows than in others, or none.
    """
    total = 0
    for name, histogram in collector.histograms().items():
        if histogram.num_values == 0 or histogram.num_values % num_windows:
            raise CalibrationError(
                f"tensor {name!r} has {histogram.num_values} values in {num_windows} windows"
            )
        total += histogram.num_values // num_windows
    if len(collector.histograms()) != len(names):
        raise CalibrationError(f"{len(collector.histograms())} of {len(names)} tensors were counted")
    return total


@contextmanager
def _built_elsewhere(args: argparse.Namespace, precision: str) -> Iterator[Callable[[], bytes] | None]:
    """Have the observed engine built in another process on another GPU of the kind, if one was named.

    Yields
    ------
    What waits for the engine and returns it; None where this process is to build it.
    """
    if args.build_on is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "observed.plan"
        settings = (
            "windows",
            "rounds",
            "batch",
            "layers",
            "width",
            "heads",
            "optimization_level",
            "activation_bytes",
        )
        words = [f"--{name.replace('_', '-')}={getattr(args, name)}" for name in settings]
        words += [f"--write-plan={file}", f"--precisions={precision}"]
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": args.build_on}
        child = subprocess.Popen([sys.executable, "-m", MODULE, *words], cwd=ROOT, env=environment)  # noqa: S603

        def wait() -> bytes:
            if child.wait():
                raise BuildError(f"the build on GPU {args.build_on} ended with status {child.returncode}")
            return file.read_bytes()

        try:
            yield wait
        finally:
            child.kill()
            child.wait()


@contextmanager
def stage(name: str, seconds: dict[str, float]) -> Iterator[None]:
    """Print a stage as it begins, and its time when it is done."""
    print(f"{name} ...", flush=True)
    begun = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - begun, 2)
    print(f"{name}: {seconds[name]} s", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--windows", type=int, default=WINDOWS, metavar="N", help="of 30 s, in all rounds")
    parser.add_argument("--rounds", type=int, default=4, metavar="N", help="turns of each contender")
    parser.add_argument("--batch", type=int, default=16, metavar="N", help="windows at once")
    parser.add_argument("--layers", type=int, default=LARGE.num_layers, metavar="N")
    parser.add_argument("--width", type=int, default=LARGE.width, metavar="N")
    parser.add_argument("--heads", type=int, default=LARGE.num_heads, metavar="N")
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=get_args(CollectingPrecision),
        default=["float16"],
        help="each is built twice",
    )
    parser.add_argument("--optimization-level", type=int, default=1, metavar="0-5")
    parser.add_argument("--device", type=int, default=0, metavar="N", help="CUDA device ordinal")
    parser.add_argument(
        "--build-on", metavar="GPU", help="build the observed engine meanwhile on this GPU, of the same kind"
    )
    parser.add_argument("--activation-bytes", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--write-plan", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, metavar="PATH", help="the JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
