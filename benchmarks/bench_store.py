"""Time what an engine store and a timing cache save, and count who builds when many ask at once.

    python -m benchmarks.bench_store

Builds the bundled recogniser with TensorRT where it and a GPU are, else with TensorRT-RTX. Measures

* hits: from asking a filled store to an engine in memory, verified, and on a GPU on to the first result; in
  this process again and again, and in new processes from their start on;
* timing_cache, on a GPU: builds with an empty timing cache and with a full one, taking turns;
* one_key: 32 processes that ask an empty store for one key at once, for which a stand-in builds.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.environment import describe_run
from benchmarks.pages import to_text
from trtforge._files import sha256, write_text
from trtforge._progress import Stages
from trtforge.engine import BuildConfig, Engine, EngineStore, Manifest, build
from trtforge.engine.artifact import system_name
from trtforge.model import load_model, model_digest, model_inputs
from trtforge.nvidia import select
from trtforge.profiles import OptimizationProfile, plan_profiles
from trtforge.runtime import Session

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples/models/asr_en/asr_en.onnx"
PACKAGES = ("tensorrt", "tensorrt_rtx", "cuda-python", "numpy", "onnx")
FRAMES = 512
NUM_PROCESSES = 32
STAND_IN_BYTES, STAND_IN_SECONDS = 8 << 20, 2.0


def profiles() -> tuple[OptimizationProfile, ...]:
    """Return the shapes that all engines here are built for."""
    return plan_profiles(model_inputs(load_model(MODEL)), [16, 1600], max_batch=8)


def ask(store: EngineStore, library: str) -> Engine:
    """Ask the store for the recogniser's engine in FP16, from its file on."""
    return build(MODEL, profiles=profiles(), config=BuildConfig("float16"), flavor=library, store=store)


def run_once(engine: Engine) -> float:
    """Load the engine on the GPU, run it once, and return the seconds that both took."""
    mel = np.zeros((1, 80, FRAMES), np.float32)
    started = time.perf_counter()
    with Session(engine) as session:
        session.run({session.inputs[0].name: mel})
        return time.perf_counter() - started


def time_hits(folder: Path, library: str, *, on_gpu: bool, repeats: int) -> dict[str, Any]:
    """Fill a store, and time what asking it again takes."""
    store = EngineStore(folder)
    built = ask(store, library)
    asking, running = [], []
    for _ in range(repeats):
        started = time.perf_counter()
        engine = ask(store, library)
        asking.append(time.perf_counter() - started)
        if on_gpu:
            running.append(run_once(engine))
    if store.builds > 1 or store.hits < repeats:
        raise RuntimeError(f"{store.hits} hits and {store.builds} builds of {repeats} askings")
    both = [first + second for first, second in zip(asking, running, strict=False)]
    return {
        "plan_bytes": built.manifest.plan_bytes,
        "build_s": built.manifest.build_seconds,
        "ask_to_engine_ms": _summarize(asking),
        "ask_to_first_result_ms": _summarize(both) if both else None,
        "new_process": [_in_a_new_process(folder, library) for _ in range(min(3, repeats))],
    }


def fresh(folder: str, library: str, begun: str) -> None:
    """Ask in a new process, which was begun at a time in seconds since 1970, and print what took how long."""
    start_ms = _ms(time.time() - float(begun))
    imported = time.perf_counter()
    store = EngineStore(folder)
    engine = ask(store, library)
    asked = time.perf_counter()
    ran = asked + run_once(engine) if engine.manifest.gpu is not None else None
    parts = {
        "start_and_imports_ms": start_ms,
        "ask_to_engine_ms": _ms(asked - imported),
        "engine_to_first_result_ms": None if ran is None else _ms(ran - asked),
        "hits": store.hits,
    }
    print(json.dumps(parts))


def time_builds(folder: Path, *, repeats: int) -> dict[str, Any]:
    """Build with an empty timing cache and with a full one, in turns, after one build that warms up."""

    def seconds(cache: Path) -> float:
        config = BuildConfig("float16", timing_cache=cache)
        return build(MODEL, profiles=profiles(), config=config, flavor="tensorrt").manifest.build_seconds

    full = folder / "full.cache"
    warming_up = seconds(full)
    cold, warm = [], []
    for turn in range(repeats):
        cold.append(seconds(folder / f"{turn}.cache"))
        warm.append(seconds(full))
    return {
        "first_build_s": warming_up,
        "cold_s": cold,
        "warm_s": warm,
        "cache_bytes": full.stat().st_size,
        "times_faster": round(statistics.median(cold) / statistics.median(warm), 2),
    }


def time_one_key(folder: Path, *, num_processes: int = NUM_PROCESSES) -> dict[str, Any]:
    """Let many processes ask for one key at the same moment; count the builds."""
    builds = folder / "builds"
    plan = np.random.default_rng(0).bytes(STAND_IN_BYTES)

    def make() -> Engine:
        with builds.open("a", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(STAND_IN_SECONDS)
        return _stand_in(plan)

    moment = time.time() + 1.0

    def one() -> None:
        time.sleep(max(0.0, moment - time.time()))
        if EngineStore(folder / "engines").get_or_build("0" * 64, make).plan != plan:
            raise RuntimeError("another plan came back")

    children = [_fork(one) for _ in range(num_processes)]
    failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
    seconds = time.time() - moment
    return {
        "processes": num_processes,
        "failed": failed,
        "builds": len(builds.read_text(encoding="ascii").split()),
        "stand_in_build_s": STAND_IN_SECONDS,
        "plan_bytes": STAND_IN_BYTES,
        "all_have_it_after_s": round(seconds, 3),
    }


def measure(*, repeats: int, num_builds: int) -> dict[str, Any]:
    """Measure all that this machine allows."""
    stages = Stages(Console(stderr=True))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with stages.stage("one key"):
            # Before anything of NVIDIA's is loaded, which does not survive a fork.
            one_key = time_one_key(folder)
        library = select().name
        on_gpu = library == "tensorrt"
        with stages.stage("hits"):
            hits = time_hits(folder / "store", library, on_gpu=on_gpu, repeats=repeats)
        with stages.stage("timing cache"):
            timing = time_builds(folder, repeats=num_builds) if on_gpu else None
    return {
        "format": "trtforge.benchmark.store/1",
        "library": library,
        "model_sha256": model_digest(load_model(MODEL)),
        "one_key": one_key,
        "hits": hits,
        "timing_cache": timing,
        "run": describe_run("benchmarks.bench_store", sys.argv[1:], packages=PACKAGES),
    }


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description="What an engine store and a timing cache save.")
    parser.add_argument("--repeats", type=int, default=20, help="hits to time (default: 20)")
    parser.add_argument("--builds", type=int, default=2, help="builds of each kind to time (default: 2)")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/store_LIBRARY.json")
    parser.add_argument("--fresh", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.fresh:
        fresh(*args.fresh)
        return
    result = measure(repeats=args.repeats, num_builds=args.builds)
    output = args.output or ROOT / f"benchmarks/results/store_{result['library']}.json"
    write_text(output, to_text(result))
    for part in ("one_key", "hits", "timing_cache"):
        print(part, json.dumps(result[part]))


def _in_a_new_process(folder: Path, library: str) -> dict[str, Any]:
    words = [sys.executable, "-m", "benchmarks.bench_store", "--fresh", str(folder), library]
    words.append(str(time.time()))
    started = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)  # noqa: S603 - our own
    whole = time.perf_counter() - started
    if done.returncode != 0:
        raise RuntimeError(f"the new process failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**found, "whole_process_ms": _ms(whole)}


def _fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return child


def _stand_in(plan: bytes) -> Engine:
    manifest = Manifest(
        library="stand_in",
        library_version="1.0",
        compute_capabilities=(),
        gpu=None,
        driver=None,
        system=system_name(),
        precision="float32",
        options={},
        profiles=(),
        inputs=(),
        outputs=(),
        layer_precisions=None,
        onnx_sha256="0" * 64,
        scales_sha256=None,
        build_seconds=STAND_IN_SECONDS,
        trtforge_version="0",
        plan_sha256=sha256(plan),
        plan_bytes=len(plan),
    )
    return Engine(plan, manifest)


def _summarize(seconds: list[float]) -> dict[str, float]:
    low, middle, high = np.percentile(np.array(seconds), [5, 50, 95])
    return {"median": _ms(middle), "p5": _ms(low), "p95": _ms(high), "first": _ms(seconds[0])}


def _ms(seconds: float) -> float:
    return round(float(seconds) * 1e3, 3)


if __name__ == "__main__":
    main()
