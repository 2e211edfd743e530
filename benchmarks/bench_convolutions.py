"""Time 1-D convolutions as TensorRT 8.6 parses them, and as the 2-D ones that trtforge makes of them.

    python -m benchmarks.bench_convolutions

Needs a GPU and TensorRT 8.6. Builds the bundled recogniser with dynamic batch and length in FP32 and FP16,
as it is and with its 1-D convolutions as 2-D ones, and times each pair in turns with CUDA graphs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.environment import describe_run
from benchmarks.native_calibrator.timing import time_engines
from benchmarks.pages import to_text
from trtforge._files import write_text
from trtforge.engine import BuildConfig, build
from trtforge.errors import ConfigError, TrtforgeError
from trtforge.model import load_model, model_digest
from trtforge.nvidia import select
from trtforge.nvidia.v8 import V8
from trtforge.precisions import Precision
from trtforge.profiles import OptimizationProfile, ShapeRange

MODULE = "benchmarks.bench_convolutions"
FORMAT = "trtforge.bench.convolutions/1"
ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples/models/asr_en/asr_en.onnx"
RESULT = ROOT / "benchmarks/results/convolutions.json"
BINS, FRAMES, BATCHES = 80, 512, (1, 8, 32)
PRECISIONS: tuple[Precision, ...] = ("float32", "float16")
PACKAGES = ("tensorrt", "cuda-python", "numpy", "onnx")


class AsItIs(V8):
    """TensorRT 8.6, given 1-D convolutions as they are."""

    reads_every_quantized_convolution: ClassVar[bool] = True


def measure(timing_cache: str | None) -> dict[str, Any]:
    """Build and time.

    Raises
    ------
    NoGpuError : there is no GPU, or TensorRT is not installed.
    ConfigError : the library reads 1-D convolutions without reshapes.
    """
    flavor = select("tensorrt")
    if flavor.reads_every_quantized_convolution:
        raise ConfigError(f"{flavor} is given convolutions as they are", hint="run it with TensorRT 8.6")
    model = load_model(MODEL)
    profile = OptimizationProfile(
        {"mel": ShapeRange((1, BINS, 64), (BATCHES[1], BINS, FRAMES), (BATCHES[-1], BINS, 1600))}
    )
    engines, rows = {}, []
    for precision in PRECISIONS:
        config = BuildConfig(precision=precision, timing_cache=timing_cache)
        for form, library in (("1-D", AsItIs(flavor.version)), ("2-D", flavor)):
            engines[precision, form] = build(model, profiles=[profile], config=config, flavor=library)
            print(precision, form, engines[precision, form].manifest.layer_precisions, flush=True)
        for batch in BATCHES:
            inputs = [
                {"mel": np.random.default_rng(seed).standard_normal((batch, BINS, FRAMES)).astype(np.float32)}
                for seed in range(16)
            ]
            pair = {form: engines[precision, form] for form in ("1-D", "2-D")}
            times = time_engines(pair, inputs)
            ratios = [a / b for a, b in zip(times.samples_ms["1-D"], times.samples_ms["2-D"], strict=True)]
            low, high = np.percentile(ratios, [5, 95])
            rows.append(
                {
                    "precision": precision,
                    "batch": batch,
                    "frames": FRAMES,
                    **{f"ms_{form}": round(statistics.median(times.samples_ms[form]), 5) for form in pair},
                    "times_faster": round(statistics.median(ratios), 3),
                    "p5": round(float(low), 3),
                    "p95": round(float(high), 3),
                    "launched_by": times.launched_by,
                    "clocks": list(times.clocks),
                }
            )
            print(rows[-1], flush=True)
    return {
        "format": FORMAT,
        "model_sha256": model_digest(model),
        "engines": [
            {
                "precision": precision,
                "form": form,
                "layers": engine.manifest.layer_precisions,
                "build_seconds": engine.manifest.build_seconds,
                "plan_bytes": len(engine.plan),
            }
            for (precision, form), engine in engines.items()
        ],
        "times": rows,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the JSON; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULT, metavar="PATH", help="the JSON")
    parser.add_argument("--timing-cache", help="file that keeps tactic timings from one build to the next")
    args = parser.parse_args(given)
    try:
        result = measure(args.timing_cache)
    except TrtforgeError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    write_text(args.output, to_text({**result, "run": describe_run(MODULE, given, packages=PACKAGES)}))
    print(args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
