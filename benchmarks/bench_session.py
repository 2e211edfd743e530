"""Measure what a session adds to TensorRT: time of a call, threads, and memory over many requests.

    python -m benchmarks.bench_session

Needs a GPU and TensorRT. Builds the bundled recogniser in FP16 and writes the JSON after each part:

* ``overhead``: one inference and the wait for it, with inputs and outputs on the GPU: TensorRT's
  ``execute_async_v3`` called bare, `Session.run`, and `Session.run` with CUDA graphs, in turns.
* ``threads``: the same requests one after another, and from 8 threads; the results must be equal bit for bit.
* ``growth``: host and GPU memory over many requests from 4 threads.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from benchmarks.environment import describe_run
from benchmarks.pages import to_text
from trtforge._files import write_text
from trtforge.engine import BuildConfig, Engine, build
from trtforge.engine.artifact import check_runs_here
from trtforge.errors import ExecutionError, TrtforgeError
from trtforge.feeds import Arrays
from trtforge.model import load_model, model_digest
from trtforge.nvidia.cuda import free_memory_bytes, runtime_api, set_device
from trtforge.nvidia.execution import LoadedEngine
from trtforge.profiles import OptimizationProfile, ShapeRange
from trtforge.runtime import Session
from trtforge.runtime.buffers import Tensors

MODULE = "benchmarks.bench_session"
FORMAT = "trtforge.bench.session/1"
ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples/models/asr_en/asr_en.onnx"
RESULT = ROOT / "benchmarks/results/session.json"
BINS, FRAMES, BATCHES = 80, (16, 256, 1600), (1, 4, 16)
NUM_THREADS, GROWING_THREADS = 8, 4
BARE, RUN, GRAPH = "execute_async_v3", "Session.run", "Session.run, CUDA graphs"
PACKAGES = ("tensorrt", "cuda-python", "cuda-bindings", "numpy", "onnx")


class BareEngine:
    """TensorRT called with nothing between: one context, everything set before."""

    def __init__(self, engine: Engine, arrays: Arrays) -> None:
        set_device(0)
        flavor = check_runs_here(engine.manifest, device=0)
        with ExitStack() as stack:
            loaded = stack.enter_context(LoadedEngine(flavor, engine.plan))
            context = loaded.new_context()
            stack.callback(context.close)
            tensors = stack.enter_context(Tensors())
            context.set_shapes({name: array.shape for name, array in arrays.items()})
            for name, array in arrays.items():
                context.set_address(name, tensors.send(name, array))
            for spec in loaded.outputs:
                shape = context.shape_of(spec.name)
                context.set_address(spec.name, tensors.reserve(spec.name, shape, np.dtype(spec.dtype)))
            self._execute = context.native.execute_async_v3
            self._stream, self._handle = tensors.stream.native, tensors.stream.handle
            self._synchronize = runtime_api().cudaStreamSynchronize
            self.call()
            self._resources = stack.pop_all()

    def call(self) -> None:
        """Run once and wait."""
        if not self._execute(self._handle):
            raise ExecutionError("the bare engine did not run")
        self._synchronize(self._stream)

    def close(self) -> None:
        """Give everything back."""
        del self._execute
        self._resources.close()


def measure_overhead(
    engine: Engine, arrays: Arrays, *, turns: int = 60, calls: int = 100
) -> list[dict[str, Any]]:
    """Time a call and the wait for it, three ways in turns, with everything on the GPU.

    Returns
    -------
    For each way the time of a call in microseconds, median and percentiles over turns, and the median of what
    it is above the bare call of the same turn.
    """
    with ExitStack() as stack:
        bare = BareEngine(engine, arrays)
        stack.callback(bare.close)
        plain = stack.enter_context(Session(engine, max_contexts=1))
        graph = stack.enter_context(Session(engine, max_contexts=1, cuda_graphs=4))
        given = {name: plain.to_device(array) for name, array in arrays.items()}
        ways: dict[str, Callable[[], object]] = {
            BARE: bare.call,
            RUN: lambda: plain.run(given, outputs="device"),
            GRAPH: lambda: graph.run(given, outputs="device"),
        }
        times_us: dict[str, list[float]] = {name: [] for name in ways}
        for call in ways.values():
            for _ in range(calls):
                call()
        for turn in range(turns):
            names = list(ways)[turn % 3 :] + list(ways)[: turn % 3]
            for name in names:
                times_us[name].append(_microseconds(ways[name], calls))
        replays = graph.counts["graph_replays"]
        given.clear()
    rows = []
    for name, values in times_us.items():
        low, middle, high = np.percentile(values, [5, 50, 95])
        above = float(np.median(np.array(values) - np.array(times_us[BARE])))
        rows.append(
            {
                "way": name,
                "shapes": {each: list(array.shape) for each, array in arrays.items()},
                "median_us": round(float(middle), 2),
                "p5_us": round(float(low), 2),
                "p95_us": round(float(high), 2),
                "above_bare_us": round(above, 2),
                "calls": turns * calls,
                **({"graph_replays": replays} if name == GRAPH else {}),
            }
        )
    return rows


def measure_threads(
    engine: Engine, feeds: Sequence[Arrays], *, each: int, cuda_graphs: int = 0
) -> dict[str, Any]:
    """Run requests one after another and from threads, and count the results that differ by a bit.

    Parameters
    ----------
    feeds : requests, taken in rotation.
    each : requests of each thread.
    """
    with Session(engine, max_contexts=4, cuda_graphs=cuda_graphs) as session:
        wanted = [{name: array.tobytes() for name, array in session.run(arrays).items()} for arrays in feeds]
        total = NUM_THREADS * each
        begin = time.perf_counter()
        for index in range(total):
            session.run(feeds[index % len(feeds)])
        serial_s = time.perf_counter() - begin
        differing, failures = [0] * NUM_THREADS, [""] * NUM_THREADS

        def work(thread: int) -> None:
            try:
                for index in range(each):
                    at = (index * NUM_THREADS + thread) % len(feeds)
                    got = session.run(feeds[at])
                    differing[thread] += any(
                        got[name].tobytes() != value for name, value in wanted[at].items()
                    )
            except TrtforgeError as error:
                failures[thread] = f"{type(error).__name__}: {error.message}"

        begin = time.perf_counter()
        _run_threads(work, NUM_THREADS)
        threads_s = time.perf_counter() - begin
        memory = session.memory()
        replays = session.counts["graph_replays"]
    return {
        "threads": NUM_THREADS,
        "requests": total,
        "cuda_graphs": cuda_graphs,
        "differing": sum(differing),
        "failures": [failure for failure in failures if failure],
        "serial_s": round(serial_s, 3),
        "threads_s": round(threads_s, 3),
        "num_contexts": memory.num_contexts,
        "graph_replays": replays,
    }


def measure_growth(
    engine: Engine,
    feeds: Sequence[Arrays],
    *,
    requests: int,
    cuda_graphs: int,
    warm_up: int = 2000,
    checks: int = 20,
) -> dict[str, Any]:
    """Watch host and GPU memory over many requests.

    Contexts are made, and graphs recorded, as threads happen to meet; their number is bounded. From the check
    on after which it stays, nothing should grow.
    """
    rows: list[dict[str, int]] = []
    warm_up = min(warm_up, requests)
    with Session(engine, max_contexts=GROWING_THREADS, cuda_graphs=cuda_graphs) as session:
        given = [{name: session.to_device(array) for name, array in arrays.items()} for arrays in feeds]
        failures: list[str] = []

        def serve(count: int) -> Callable[[int], None]:
            def work(thread: int) -> None:
                try:
                    for index in range(thread, count, GROWING_THREADS):
                        at = index % len(feeds)
                        if index // len(feeds) % 2:
                            session.run(given[at], outputs="device")
                        else:
                            session.run(feeds[at])
                except TrtforgeError as error:
                    failures.append(f"{type(error).__name__}: {error.message}")

            return work

        _run_threads(serve(warm_up), GROWING_THREADS)
        done = 0
        rows.append(_memory_now(session, 0))
        for check in range(1, checks + 1):
            upto = requests * check // checks
            _run_threads(serve(upto - done), GROWING_THREADS)
            done = upto
            rows.append(_memory_now(session, done))
        given.clear()
    last = rows[-1]
    settled = next(row for row in rows if row["num_contexts"] == last["num_contexts"])
    # Too few requests after the last context was made say nothing about growth.
    is_telling = requests - settled["requests"] >= requests // 4
    return {
        "requests": requests,
        "warm_up": warm_up,
        "threads": GROWING_THREADS,
        "cuda_graphs": cuda_graphs,
        "most_contexts": GROWING_THREADS * (1 + cuda_graphs),
        "failures": failures,
        "settled_after_requests": settled["requests"],
        "host_growth_bytes": last["host_bytes"] - settled["host_bytes"] if is_telling else None,
        "device_growth_bytes": (
            settled["device_free_bytes"] - last["device_free_bytes"] if is_telling else None
        ),
        "checks": rows,
    }


def random_feeds(shapes: Sequence[tuple[int, ...]], name: str = "mel") -> list[Arrays]:
    """Make one request of noise for each shape."""
    return [
        {name: np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)}
        for seed, shape in enumerate(shapes)
    ]


def build_recogniser() -> tuple[Engine, str]:
    """Build the bundled recogniser in FP16; return it and the digest of the network."""
    model = load_model(MODEL)
    low, tuned, high = ((batch, BINS, frames) for batch, frames in zip(BATCHES, FRAMES, strict=True))
    profile = OptimizationProfile({"mel": ShapeRange(low, tuned, high)})
    engine = build(model, profiles=[profile], config=BuildConfig(precision="float16"), flavor="tensorrt")
    return engine, model_digest(model)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser().parse_args(given)
    try:
        begin = time.perf_counter()
        engine, digest = build_recogniser()
        print(f"built in {time.perf_counter() - begin:.1f} s", flush=True)
        result: dict[str, Any] = {
            "format": FORMAT,
            "model_sha256": digest,
            "run": describe_run(MODULE, given, packages=PACKAGES),
        }
        for name, measure in _parts(engine, args).items():
            begin = time.perf_counter()
            result[name] = measure()
            write_text(args.output, to_text(result))
            print(f"{name}: {time.perf_counter() - begin:.1f} s\n{_told(result[name])}", flush=True)
    except TrtforgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(args.output)
    return 0


def _parts(engine: Engine, args: argparse.Namespace) -> dict[str, Callable[[], list[dict[str, Any]]]]:
    one = random_feeds([(1, BINS, FRAMES[1])])[0]
    several = random_feeds([(1, BINS, 128), (2, BINS, 128), (1, BINS, 96), (4, BINS, 64)] * 4)
    few = random_feeds([(1, BINS, 64), (1, BINS, 96), (2, BINS, 64)])
    return {
        "overhead": lambda: measure_overhead(engine, one),
        "threads": lambda: [
            measure_threads(engine, several, each=args.each, cuda_graphs=graphs) for graphs in (0, 4)
        ],
        "growth": lambda: [
            measure_growth(engine, few, requests=args.requests, cuda_graphs=graphs) for graphs in (0, 2)
        ],
    }


def _microseconds(call: Callable[[], object], calls: int) -> float:
    # A collection in one way's turn would be charged to it alone.
    gc.disable()
    try:
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        return 1e6 * (time.perf_counter() - begin) / calls
    finally:
        gc.enable()


def _run_threads(work: Callable[[int], None], count: int) -> None:
    threads = [Thread(target=work, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _memory_now(session: Session, requests: int) -> dict[str, int]:
    gc.collect()
    set_device(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return {
        "requests": requests,
        "num_contexts": session.memory().num_contexts,
        "host_bytes": pages * os.sysconf("SC_PAGE_SIZE"),
        "device_free_bytes": free_memory_bytes(),
    }


def _told(rows: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(f"  {dict(row)}" for row in rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULT, metavar="PATH", help="the JSON")
    parser.add_argument("--each", type=int, default=1250, metavar="N", help="requests of each thread")
    parser.add_argument("--requests", type=int, default=100_000, metavar="N", help="of the growth test")
    return parser


if __name__ == "__main__":
    sys.exit(main())
