"""Show what checks find: unchanged runs, seeded word errors, broken scales and a slow-down.

``python -m benchmarks.bench_detection`` measures, then writes the JSON and the plot; with
``--redraw`` it makes the plot anew from JSON that is there.

The candidate is the INT8 recogniser of ``examples/gated_project``, in ONNX Runtime. Rebuilds and broken
scales are run over every clip. Verdicts by number of clips are then simulated: an unchanged run takes each
clip from a random rebuild, and seeded errors turn random words wrong on top of that. Times are measured, the
slow-down by keeping the processor busy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.detection.page import fill
from benchmarks.detection.plot import draw
from benchmarks.environment import describe_run
from benchmarks.pages import load_result, to_text
from trtforge._files import write_text
from trtforge.errors import TrtforgeError

MODULE = "benchmarks.bench_detection"
FORMAT = "trtforge.bench.detection/1"
ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/detection.json"
PLOT = ROOT / "docs/images/detection.svg"
TRIAL = ROOT / "out/detection.json"
MODEL = ROOT / "examples/models/asr_en/asr_en.onnx"
SCALES = ROOT / "examples/gated_project/scales.json"
CLIPS = ROOT / "calibration_sets/podcast_en_test"
SIZES = (30, 60, 120, 240, 480)
POINTS = (0.5, 1.0, 2.0)
FACTORS = (0.25, 4.0)
NOISE = 0.001
SLOWDOWN = 0.05
# Input of the timed runs: a quarter of a second, short enough for hundreds of runs.
_TIMED_FRAMES = 25


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser().parse_args(given)
    # A run on a few clips must not replace published numbers unless told to.
    published = args.limit is None or args.redraw
    output = args.output or (RESULT if published else TRIAL)
    plot = args.plot or (PLOT if published else output.with_suffix(".svg"))
    page = args.page
    try:
        if not args.redraw:
            write_text(output, to_text({**measure(args), "run": describe_run(MODULE, given)}))
        result = load(output)
        write_text(plot, draw(result))
        if page is not None:
            write_text(page, fill(page.read_text(encoding="utf-8"), result))
    except TrtforgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(*map(_shown, filter(None, (output, plot, page))), sep="\n")
    return 0


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run the candidate and its variants, simulate checks, time runs."""
    import numpy as np
    from rich.console import Console

    from benchmarks.detection.runs import Laboratory, run_all
    from benchmarks.detection.simulate import simulate, verdict_of
    from benchmarks.detection.speed import measure_speed
    from trtforge._progress import Stages
    from trtforge.audio import ClipSet
    from trtforge.checks import CheckConfig
    from trtforge.model import load_model
    from trtforge.pipeline import quantize
    from trtforge.runtime import OnnxRunner
    from trtforge.scales import Scales

    stages, config = Stages(Console()), CheckConfig()
    model, scales, clips = load_model(MODEL), Scales.load(SCALES), ClipSet.load(CLIPS)[: args.limit]
    with stages.stage("speed") as stage:
        mel = np.random.default_rng(0).normal(size=(1, 80, _TIMED_FRAMES)).astype(np.float32)
        int8 = quantize(model, scales)
        # One thread each: two sessions that wait busily for their threads disturb each other.
        with OnnxRunner(model, num_threads=1) as reference, OnnxRunner(int8, num_threads=1) as candidate:
            speed = measure_speed(
                lambda: reference.run({"mel": mel}),
                lambda: candidate.run({"mel": mel}),
                runs=args.trials,
                rounds=30,
                slowdown=SLOWDOWN,
                config=config,
                on_progress=stage,
            )
    with stages.stage("variants") as stage:
        laboratory = Laboratory(model, clips)
        accepted, rebuilds, spoiled = run_all(
            laboratory,
            scales,
            rebuilds=args.rebuilds,
            noise=NOISE,
            factors=FACTORS,
            on_progress=stage,
        )
    words, everything = laboratory.words, np.arange(laboratory.words.size)
    with stages.stage("simulate"):
        verdicts = simulate(
            accepted,
            rebuilds,
            spoiled,
            words,
            sizes=[size for size in SIZES if args.limit is None or size <= len(clips)] or [len(clips)],
            points=POINTS,
            trials=args.trials,
            config=config,
        )
    changes = [np.abs(outcome.errors - accepted.errors) for outcome in rebuilds]
    return {
        "format": FORMAT,
        "clips": {"name": clips.name, "sha256": clips.digest, "num_clips": len(words)},
        "config": asdict(config),
        "trials": args.trials,
        "rebuilds": args.rebuilds,
        "noise": NOISE,
        "limit": args.limit,
        "wer": round(float(accepted.errors.sum() / words.sum()), 6),
        "snr_db": round(float(accepted.snr_db.mean()), 2),
        "rebuild_changes": {
            "clips": round(float(np.mean([np.count_nonzero(change) for change in changes])), 2),
            "errors": round(float(np.mean([change.sum() for change in changes])), 2),
        },
        "verdicts": verdicts,
        "broken": [
            {
                "tensor": variant["tensor"],
                "factor": variant["factor"],
                "wer_increase": round(
                    100 * float((variant["outcome"].errors - accepted.errors).sum() / words.sum()), 2
                ),
                "snr_loss_db": round(float((accepted.snr_db - variant["outcome"].snr_db).mean()), 2),
                "verdict": verdict_of(accepted, variant["outcome"], words, everything, config),
            }
            for variant in spoiled
        ],
        "speed": speed,
        "seconds": {stage: round(value, 1) for stage, value in stages.seconds.items()},
    }


def load(path: Path) -> dict[str, Any]:
    """Read a result that `main` wrote.

    Raises
    ------
    ReportError : the file is missing or is not such a result.
    """
    return load_result(path, kind=FORMAT, module=MODULE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    paths = (
        ("--output", f"the JSON (default: {_shown(RESULT)})"),
        ("--plot", f"the SVG (default: {_shown(PLOT)})"),
        ("--page", "a page whose tables are replaced (default: none)"),
    )
    for option, text in paths:
        parser.add_argument(option, type=Path, metavar="PATH", help=text)
    parser.add_argument("--limit", type=int, metavar="N", help="at most N clips, for a trial; writes to out/")
    parser.add_argument(
        "--trials", type=int, default=200, metavar="N", help="runs of each kind (default: 200)"
    )
    parser.add_argument(
        "--rebuilds", type=int, default=10, metavar="N", help="variants that stand for rebuilds (default: 10)"
    )
    parser.add_argument("--redraw", action="store_true", help="measure nothing; use the JSON that is there")
    return parser


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


if __name__ == "__main__":
    sys.exit(main())
