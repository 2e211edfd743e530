"""Time FP16 and every way to INT8 on a GPU: what was asked, what was got, what is faster, what was kept.

``python -m benchmarks.bench_precision --network recogniser`` builds and times one network, and puts it into
the JSON in place of what is there of it; then the page's tables are filled. ``--redraw`` makes them anew.
Needs a GPU and TensorRT.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.environment import describe_run
from benchmarks.native_calibrator.timing import time_engines
from benchmarks.pages import Publication, to_text
from benchmarks.precision.page import tables
from benchmarks.precision.subjects import SUBJECTS, Subject
from trtforge._files import write_text
from trtforge.calibration import Method, choose
from trtforge.checks import Timings
from trtforge.engine import BuildConfig, Engine, build
from trtforge.engine.precision import network_precision
from trtforge.errors import NoGpuError, TrtforgeError
from trtforge.graph import multiplies_activations, prepare
from trtforge.nvidia import available, gpus
from trtforge.pipeline import build_fastest, observe
from trtforge.pipeline.engine_timing import end_feeds, timer_on_gpu, tuned_feeds
from trtforge.pipeline.range_choice import scales_from

if TYPE_CHECKING:
    import onnx

MODULE = "benchmarks.bench_precision"
FORMAT = "trtforge.bench.precision/1"
ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/precision.json"
PAGE = ROOT / "docs/fastest.md"
PUBLICATION = Publication(MODULE, FORMAT, RESULT, PAGE, tables)
load, fill = PUBLICATION.load, PUBLICATION.fill
_PACKAGES = ("tensorrt", "cuda-python", "numpy", "onnx", "onnxruntime")
_INPUTS_A_SHAPE = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser().parse_args(given)

    def make(path: Path) -> dict[str, Any]:
        rows = {row["network"]: row for row in (load(path)["networks"] if path.is_file() else [])}
        result: dict[str, Any] = {"format": FORMAT, "networks": list(rows.values())}
        for name in args.network or list(SUBJECTS):
            rows[name] = {"network": name, **measure(SUBJECTS[name](), args)}
            rows[name]["run"] = describe_run(MODULE, given, packages=_PACKAGES)
            result["networks"] = [rows[network] for network in SUBJECTS if network in rows]
            write_text(path, to_text(result))  # so that little is lost when the next one is stopped
        return result

    return PUBLICATION.run(args, make)


def measure(subject: Subject, args: argparse.Namespace) -> dict[str, Any]:
    """Race one network, then time what was kept, and plain Q/DQ, beside FP16 at every shape.

    Raises
    ------
    NoGpuError : there is no GPU, or TensorRT is not installed.
    """
    libraries = [flavor for flavor in available() if flavor.name == "tensorrt"]
    if not gpus() or not libraries:
        raise NoGpuError(
            f"it needs a GPU and TensorRT; GPUs {[str(gpu) for gpu in gpus()]}, TensorRT {libraries}",
            hint="--redraw fills the page from the JSON that is there, and needs neither",
        )
    observations = observe(subject.model, list(subject.batches), tensors="cache")
    method: Method = "max" if args.quick else "entropy"
    built: list[tuple[str, Engine]] = []

    def build_engine(model: onnx.ModelProto, **settings: Any) -> Engine:
        engine = build(model, **settings)
        built.append((_name(model, settings["config"], engine), engine))
        print(f"built {built[-1][0]}: {engine}; {engine.manifest.proof}", flush=True)
        return engine

    shapes = tuned_feeds(subject.model, [subject.profile]) | end_feeds(subject.model, [subject.profile])
    timer = timer_on_gpu(shapes)

    def time_pair(baseline: Engine, engine: Engine) -> Mapping[Any, Timings]:
        timings = timer(baseline, engine)
        told = ", ".join(f"{np.median(found.ratios):.3f} at {shape}" for shape, found in timings.items())
        print(f"time of {built[-1][0]} by that of FP16: {told}", flush=True)
        return timings

    config = BuildConfig(timing_cache=args.timing_cache)
    found = build_fastest(
        subject.model,
        scales_from(observations, subject.model, method=method),
        cache_scales=None if multiplies_activations(prepare(subject.model)) else choose(observations, method),
        profiles=[subject.profile],
        flavor=libraries[0],
        config=config,
        max_builds=args.max_builds,
        build_engine=build_engine,
        time_pair=time_pair,
    )
    print(found.verdict.reason, flush=True)
    engines = {"FP16": built[0][1]}
    whole = next((engine for name, engine in built[1:] if name.startswith("INT8, Q/DQ")), None)
    if whole is not None:
        engines["INT8, Q/DQ"] = whole
    if found.verdict.chosen is not None:
        engines["kept"] = found.engine
    times: list[dict[str, Any]] = []
    untimed = {}
    for shape in subject.timed:
        try:
            times += _time(engines, shape)
        except TrtforgeError as error:  # what was built and raced stands all the same
            untimed[f"{shape[0]} of {shape[-1]} frames"] = error.message
            print(f"batch {shape[0]} of {shape[-1]} frames is not timed: {error}", flush=True)
    return {
        "title": subject.title,
        "story": found.verdict.to_json(),
        "built": [_describe(name, engine) for name, engine in built],
        "times": times,
        "untimed": untimed,
    }


def _name(model: onnx.ModelProto, config: BuildConfig, engine: Engine) -> str:
    if config.precision != "int8":
        return "FP16"
    proof = engine.manifest.proof
    in_int8 = sum(layer.requested == "int8" for layer in proof.layers) if proof else 0
    carrier = "Q/DQ" if network_precision(model) == "int8" else "a calibration cache"
    way = engine.manifest.options.get("way")
    level = f"level {engine.manifest.options.get('optimization_level', 3)}" if way is None else way
    rest = ", the rest preferred in FP16" if config.prefer_float16 else ""
    return f"INT8, {carrier}, {level}{rest}, {in_int8} layers asked"


def _describe(name: str, engine: Engine) -> dict[str, Any]:
    made = engine.manifest
    proof = made.proof
    assert proof is not None  # noqa: S101 - engines are built here
    return {
        "engine": name,
        "proof": proof.counts,
        "fell_back": [layer.name for layer in proof.layers if layer.verdict == "fell_back"],
        "layer_precisions": dict(made.layer_precisions or {}),
        "way": made.options.get("way"),
        "tried": made.options.get("tried", []),
        "build_seconds": made.build_seconds,
        "plan_bytes": made.plan_bytes,
    }


def _time(engines: dict[str, Engine], shape: tuple[int, ...]) -> list[dict[str, Any]]:
    rng = np.random.default_rng(shape[0])
    inputs = [{"mel": rng.standard_normal(shape, np.float32)} for _ in range(_INPUTS_A_SHAPE)]
    times = time_engines(engines, inputs)
    base = np.array(times.samples_ms["FP16"])
    rows = []
    for name, samples in times.samples_ms.items():
        low, middle, high = np.percentile(samples, [5, 50, 95])
        rows.append(
            {
                "batch": shape[0],
                "frames": shape[-1],
                "engine": name,
                "median_ms": round(float(middle), 5),
                "p5_ms": round(float(low), 5),
                "p95_ms": round(float(high), 5),
                "speed_against_fp16": round(float(np.median(base / np.array(samples))), 3),
                "launched_by": times.launched_by,
                "clocks": list(times.clocks),
            }
        )
        print(rows[-1], flush=True)
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--network", action="append", choices=tuple(SUBJECTS), help="only these")
    parser.add_argument("--max-builds", type=int, default=8, help="most engines with INT8 of each network")
    parser.add_argument("--timing-cache", help="file that keeps tactic timings from one build to the next")
    parser.add_argument("--quick", action="store_true", help="ranges by the largest value, which is faster")
    PUBLICATION.add_options(parser, has_limit=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
