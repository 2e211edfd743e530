"""Build the bundled recogniser in FP32, FP16 and INT8, recognise with each engine, and time them.

    python -m benchmarks.bench_engines

Needs a GPU and TensorRT. The networks in ONNX Runtime on the CPU are the reference of the word error rates.
Times are of the device alone: inputs lie there before, and engines take turns in one process.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import describe_run
from benchmarks.native_calibrator.timing import Times, time_engines
from benchmarks.pages import to_text
from trtforge._files import write_text
from trtforge._progress import Stages
from trtforge.accuracy import AccuracyReport
from trtforge.audio import ClipSet, features_for_model
from trtforge.engine import BuildConfig, Engine, build
from trtforge.engine.config import Precision
from trtforge.errors import ConfigError
from trtforge.model import load_model, model_digest
from trtforge.nvidia import available
from trtforge.pipeline import calibrate, evaluate, quantize
from trtforge.profiles import OptimizationProfile, ShapeRange

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples/models/asr_en/asr_en.onnx"
RESULT = ROOT / "benchmarks/results/engines.json"
BINS, FRAMES = 80, (16, 512, 1600)
BATCHES = (1, 8, 32)
REFERENCE, INT8_GRAPH = "FP32, ONNX Runtime", "INT8, ONNX Runtime"
PACKAGES = (
    "tensorrt",
    "cuda-python",
    "numpy",
    "onnx",
    "onnxruntime",
    "numba",
    "librosa",
    "soundfile",
    "jiwer",
)


def build_engines(model: Any, quantized: Any) -> dict[str, Engine]:
    """Build one engine of each precision, all for the same shapes."""
    low, middle, high = ((batch, BINS, frames) for batch, frames in zip(BATCHES, FRAMES, strict=True))
    profile = OptimizationProfile({"mel": ShapeRange(low, middle, high)})
    flavor = next(flavor for flavor in available() if flavor.name == "tensorrt")
    wanted: dict[str, tuple[Any, Precision]] = {
        "FP32": (model, "float32"),
        "FP16": (model, "float16"),
        "INT8": (quantized, "int8"),
    }
    return {
        name: build(network, profiles=[profile], config=BuildConfig(precision=precision), flavor=flavor)
        for name, (network, precision) in wanted.items()
    }


def summarize(times: Times, batch: int) -> list[dict[str, Any]]:
    """Give each engine's median and spread, and its speed against FP16, turn by turn."""
    base = np.array(times.samples_ms["FP16"])
    rows = []
    for name, samples in times.samples_ms.items():
        values = np.array(samples)
        low, middle, high = np.percentile(values, [5, 50, 95])
        rows.append(
            {
                "engine": name,
                "batch": batch,
                "frames": FRAMES[1],
                "median_ms": round(float(middle), 5),
                "p5_ms": round(float(low), 5),
                "p95_ms": round(float(high), 5),
                "speed_against_fp16": round(statistics.median((base / values).tolist()), 3),
                "launches_a_turn": times.launches,
                "launched_by": times.launched_by,
                "clocks": list(times.clocks),
            }
        )
    return rows


def rates(report: AccuracyReport) -> list[dict[str, Any]]:
    """Give each contender's word error rate with its interval."""
    if report.overall is None:
        raise ConfigError("the report has no words to count")
    return [
        {
            "contender": name,
            "num_errors": found.wer.counts.num_errors,
            "num_words": found.wer.counts.num_reference,
            "wer": found.wer.rate,
            "interval": [found.wer.interval.low, found.wer.interval.high] if found.wer.interval else None,
        }
        for name, found in report.overall.runners.items()
    ]


def measure() -> dict[str, Any]:
    """Calibrate, build, recognise, time."""
    from rich.console import Console

    stages, model = Stages(Console()), load_model(MODEL)
    features = features_for_model(model)
    with stages.stage("calibrate") as stage:
        clips = ClipSet.load(ROOT / "calibration_sets/podcast_en")
        quantized = quantize(model, calibrate(model, clips.feeds(features), on_progress=stage))
    with stages.stage("build"):
        engines = build_engines(model, quantized)
    with stages.stage("evaluate") as stage:
        contenders: dict[str, Any] = {REFERENCE: model, INT8_GRAPH: quantized}
        contenders |= {f"{name}, engine": engine for name, engine in engines.items()}
        report = evaluate(
            contenders, ClipSet.load(ROOT / "calibration_sets/podcast_en_test"), on_progress=stage
        )
    timings = []
    with stages.stage("time") as stage:
        for done, batch in enumerate(BATCHES, 1):
            rng = np.random.default_rng(batch)
            inputs = [
                {"mel": rng.standard_normal((batch, BINS, FRAMES[1]), dtype=np.float32)} for _ in range(16)
            ]
            timings += summarize(time_engines(engines, inputs), batch)
            stage(done, len(BATCHES))
    return {
        "format": "trtforge.benchmark.engines/1",
        "model_sha256": model_digest(model),
        "accuracy": rates(report),
        "layers": [
            {"engine": name, **(engine.manifest.layer_precisions or {})} for name, engine in engines.items()
        ],
        "times": timings,
        "run": describe_run("benchmarks.bench_engines", [], packages=PACKAGES),
    }


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description="FP32, FP16 and INT8 engines of the bundled recogniser.")
    parser.add_argument("--output", type=Path, default=RESULT)
    args = parser.parse_args()
    result: Mapping[str, Any] = measure()
    write_text(args.output, to_text(dict(result)))
    for part in ("accuracy", "layers", "times"):
        for row in result[part]:
            print(row)


if __name__ == "__main__":
    main()
