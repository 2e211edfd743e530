"""The GPU part of the profile benchmark: throughput on many lengths, latency at each profile's optimum."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from trtforge.engine import BuildConfig, Engine, build
from trtforge.errors import NoGpuError
from trtforge.feeds import Arrays
from trtforge.model import load_model, model_inputs
from trtforge.nvidia import available, gpus
from trtforge.profiles import ProfilePlan, plan_buckets
from trtforge.runtime import Session

MODEL = Path(__file__).parents[2] / "examples/models/asr_en/asr_en.onnx"
BATCH = 8
LATENCY_TURNS = 20


def measure_gpu(
    frames: Sequence[int],
    *,
    workload: str,
    max_profiles: int = 6,
    turns: int = 5,
    calls: int = 50,
    timing_cache: str | None = None,
    note: Callable[[str], None] = print,
    keep: Callable[[dict[str, Any]], None],
) -> None:
    """Build a wide, a planned and single-shape engines in FP16, and time them.

    Parameters
    ----------
    frames : lengths of the requests, in the order in which they arrive.
    workload : what they are, for the record.
    max_profiles : most profiles of the planned engine.
    turns : repetitions of all requests; the median counts.
    calls : calls in each turn that latencies are taken in.
    timing_cache : file that keeps tactic timings from one build to the next.
    note : told each step.
    keep : given what is measured so far, after each step.

    Raises
    ------
    NoGpuError : there is no GPU, or TensorRT is not installed.
    """
    libraries = [flavor for flavor in available() if flavor.name == "tensorrt"]
    if not gpus() or not libraries:
        raise NoGpuError(
            f"--gpu needs a GPU and TensorRT; GPUs {[str(gpu) for gpu in gpus()]}, TensorRT {libraries}",
            hint="leave --gpu out: the rest of the benchmark needs neither",
        )
    wide = plan_buckets(frames, batch_sizes=(1, BATCH), max_profiles=1)
    planned = plan_buckets(frames, batch_sizes=(1, BATCH), max_profiles=max_profiles)
    engines = {}
    for name, plan in (("one wide profile", wide), ("planned profiles", planned)):
        note(f"building: {name}, {len(plan.buckets)} of them")
        engines[name] = (plan, _build(plan, timing_cache))
    throughput: list[dict[str, Any]] = []
    latency: list[dict[str, Any]] = []
    found = {
        "gpu": str(gpus()[0]),
        "tensorrt": engines["planned profiles"][1].manifest.library_version,
        "workload": workload,
        "num_requests": len(frames),
        "num_profiles": len(planned.buckets),
        "turns": turns,
        "latency_turns": LATENCY_TURNS,
        "calls_a_turn": calls,
        "throughput": throughput,
        "latency": latency,
    }
    for batch in (1, BATCH):
        for padded in (True, False):
            for name, seconds in _seconds(engines, frames, batch=batch, padded=padded, turns=turns).items():
                row = {
                    "engine": name,
                    "inputs": "padded to the tuned length" if padded else "padded to the batch's longest",
                    "batch": batch,
                    "clips_per_s": round(len(frames) / seconds, 1),
                    "frames_per_s": round(sum(frames) / seconds),
                }
                note(str(row))
                throughput.append(row)
            keep(found)
    for bucket in planned.buckets:
        shape = (BATCH, bucket.frames[1])
        note(f"building: the single shape {shape}")
        alone = plan_buckets([shape[1]], batch_sizes=(BATCH,), multiple_of=1)
        pair = {"planned": engines["planned profiles"][1], "single": _build(alone, timing_cache)}
        times = _latencies_ms(pair, shape, calls)
        ratios = [ours / single for ours, single in zip(times["planned"], times["single"], strict=True)]
        row = {
            "frames": shape[1],
            "batch": BATCH,
            "planned_ms": round(statistics.median(times["planned"]), 4),
            "single_ms": round(statistics.median(times["single"]), 4),
            "ratio": round(statistics.median(ratios), 3),
            "ratio_least": round(min(ratios), 3),
            "ratio_most": round(max(ratios), 3),
        }
        note(str(row))
        latency.append(row)
        keep(found)


def batches_of(
    frames: Sequence[int], plan: ProfilePlan, *, batch: int, padded: bool
) -> list[tuple[int, int]]:
    """Group requests of one bucket in their order of arrival.

    Returns
    -------
    Rows and frames of each batch: as long as its bucket's tuned-for length, or as its own longest request.
    """
    groups: dict[int, list[int]] = defaultdict(list)
    for length in frames:
        home = next(index for index, bucket in enumerate(plan.buckets) if length <= bucket.frames[2])
        groups[home].append(length)
    return [
        (len(rows), plan.buckets[home].frames[1] if padded else max(rows))
        for home, lengths in groups.items()
        for rows in (lengths[at : at + batch] for at in range(0, len(lengths), batch))
    ]


def _build(plan: ProfilePlan, timing_cache: str | None) -> Engine:
    model = load_model(MODEL)
    profiles = plan.profiles(model_inputs(model))
    config = BuildConfig(precision="float16", timing_cache=timing_cache)
    return build(model, profiles=profiles, config=config, flavor="tensorrt")


def _feed(rows: int, frames: int) -> Arrays:
    (spec,) = model_inputs(load_model(MODEL))
    sizes = [
        size if isinstance(size, int) else frames if axis else rows for axis, size in enumerate(spec.shape)
    ]
    return {spec.name: np.random.default_rng(frames).standard_normal(sizes).astype(np.float32)}


def _seconds(
    engines: Mapping[str, tuple[ProfilePlan, Engine]],
    frames: Sequence[int],
    *,
    batch: int,
    padded: bool,
    turns: int,
) -> dict[str, float]:
    """Let the engines serve all requests in turns; return the median time of each."""
    shapes = {
        name: batches_of(frames, plan, batch=batch, padded=padded) for name, (plan, _) in engines.items()
    }
    feeds = {shape: _feed(*shape) for each in shapes.values() for shape in each}
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    with ExitStack() as stack:
        sessions = {name: stack.enter_context(Session(engine)) for name, (_, engine) in engines.items()}
        for name, session in sessions.items():
            for shape in dict.fromkeys(shapes[name]):
                session.run(feeds[shape])
        for _ in range(turns):
            for name, session in sessions.items():
                begin = time.perf_counter()
                for shape in shapes[name]:
                    session.run(feeds[shape])
                seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _latencies_ms(
    engines: Mapping[str, Engine], shape: tuple[int, int], calls: int, turns: int = LATENCY_TURNS
) -> dict[str, list[float]]:
    """Time one call after another with inputs on the GPU, the engines in turns; return each turn's median."""
    times: dict[str, list[float]] = {name: [] for name in engines}
    with ExitStack() as stack:
        sessions = {name: stack.enter_context(Session(engine)) for name, engine in engines.items()}
        session = next(iter(sessions.values()))
        given = {name: session.to_device(array) for name, array in _feed(*shape).items()}
        for turn in range(turns + 1):
            for name, session in sessions.items():
                taken = []
                for _ in range(calls):
                    begin = time.perf_counter()
                    session.run(given, outputs="device")
                    taken.append(1e3 * (time.perf_counter() - begin))
                if turn:  # the first one warms up
                    times[name].append(statistics.median(taken))
        given.clear()
    return times
