"""Show what checks find: unchanged runs, seeded word errors, broken scales and a slow-down.

``python -m benchmarks.bench_detection`` runs its three parts, then writes JSON, plot and the page's tables;
``--parts`` runs some of them and takes the others from the JSON that is there.

* ``variants``: the INT8 recogniser of ``examples/gated_project``, rebuilds of it and variants with one broken
  scale are run over every clip in ONNX Runtime; what each made of each clip is kept.
* ``simulate``: verdicts by number of clips. An unchanged run takes each clip from a random rebuild, and
  seeded errors turn random words wrong on top of that. Speed is simulated with noise that hangs together.
* ``speed``: reference and candidate are timed in processes of their own, the slow-down by keeping the
  processor busy. For a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.detection.page import tables
from benchmarks.detection.plot import draw
from benchmarks.environment import describe_run
from benchmarks.pages import ROOT, Publication, load_result, to_text
from trtforge._files import write_text

if TYPE_CHECKING:
    from trtforge._progress import Stages

MODULE = "benchmarks.bench_detection"
FORMAT = "trtforge.bench.detection/2"
OUTCOMES_FORMAT = "trtforge.bench.detection.outcomes/1"
RESULT = ROOT / "benchmarks/results/detection.json"
OUTCOMES = ROOT / "benchmarks/results/detection_outcomes.json"
PLOT = ROOT / "docs/images/detection.svg"
PAGE = ROOT / "docs/checks.md"
MODEL = ROOT / "examples/models/asr_en/asr_en.onnx"
SCALES = ROOT / "examples/gated_project/scales.json"
CLIPS = ROOT / "calibration_sets/podcast_en_test"
PARTS = ("variants", "simulate", "speed")
SIMULATED = ("trials", "clips_for", "verdicts", "broken", "noises")
SIZES = (30, 60, 120, 240, 480)
POINTS = (0.5, 1.0, 2.0)
FACTORS = (0.25, 4.0)
NOISE = 0.001
SLOWDOWN = 0.05
# Runs that are timed, and rounds of each; pairs of 8 runs are drawn from them.
RUNS, ROUNDS = 48, 10

PUBLICATION = Publication(MODULE, FORMAT, RESULT, PAGE, tables, PLOT, draw)
load, fill = PUBLICATION.load, PUBLICATION.fill


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser().parse_args(given)
    return PUBLICATION.run(args, lambda output: measure(args, given, output))


def measure(args: argparse.Namespace, given: Sequence[str], output: Path) -> dict[str, Any]:
    """Do the parts that are asked for, and take the others from the JSON that is there."""
    from rich.console import Console

    from trtforge._progress import Stages
    from trtforge.checks import CheckConfig

    stages, config, parts = Stages(Console()), CheckConfig(), set(args.parts)
    outcomes = OUTCOMES if output == RESULT else output.with_name(f"{output.stem}_outcomes.json")
    before = load(output) if output.is_file() and parts != set(PARTS) else {}
    runs = dict(before.get("runs", {}))
    if "variants" in parts:
        value = {**measure_variants(args, stages), "run": describe_run(MODULE, given)}
        write_text(outcomes, to_text(value))
    variants = load_result(outcomes, kind=OUTCOMES_FORMAT, module=MODULE)
    runs["variants"] = variants["run"]
    simulated = {key: before[key] for key in SIMULATED if key in before}
    if "simulate" in parts or not simulated:
        simulated = simulate_all(variants, args, stages)
        runs["simulate"] = describe_run(MODULE, given)
    timed = before.get("speed", {"ratios": {}, "verdicts": []})
    if "speed" in parts:
        timed = measure_times(args, stages)
        runs["speed"] = describe_run(MODULE, given)
    return {
        "format": FORMAT,
        "clips": variants["clips"],
        "config": asdict(config),
        "limit": args.limit,
        "noise": variants["noise"],
        **about_rebuilds(variants),
        **simulated,
        "speed": timed,
        "runs": runs,
    }


def measure_variants(args: argparse.Namespace, stages: Stages) -> dict[str, Any]:
    """Run the candidate, rebuilds of it and broken ones over the clips."""
    from benchmarks.detection.runs import Laboratory, run_all
    from trtforge.audio import ClipSet
    from trtforge.model import load_model
    from trtforge.scales import Scales

    clips = ClipSet.load(CLIPS)[: args.limit]
    with stages.stage("variants") as stage:
        laboratory = Laboratory(load_model(MODEL), clips)
        accepted, rebuilds, spoiled = run_all(
            laboratory,
            Scales.load(SCALES),
            rebuilds=args.rebuilds,
            noise=NOISE,
            factors=FACTORS,
            on_progress=stage,
        )
    rows = [{"kind": "accepted", **accepted.to_json()}]
    rows += [{"kind": "rebuild", **outcome.to_json()} for outcome in rebuilds]
    rows += [
        {"kind": "broken", "tensor": row["tensor"], "factor": row["factor"], **row["outcome"].to_json()}
        for row in spoiled
    ]
    return {
        "format": OUTCOMES_FORMAT,
        "clips": {"name": clips.name, "sha256": clips.digest, "num_clips": int(laboratory.words.size)},
        "noise": NOISE,
        "words": laboratory.words.tolist(),
        "outcomes": rows,
    }


def about_rebuilds(variants: dict[str, Any]) -> dict[str, Any]:
    """Say how the accepted candidate does, and how far its rebuilds lie from it."""
    import numpy as np

    from benchmarks.detection.runs import Outcome

    rows, words = variants["outcomes"], np.array(variants["words"])
    accepted = Outcome.from_json(rows[0])
    rebuilds = [Outcome.from_json(row) for row in rows if row["kind"] == "rebuild"]
    changes = [np.abs(outcome.errors - accepted.errors) for outcome in rebuilds]
    return {
        "rebuilds": len(rebuilds),
        "wer": round(float(accepted.errors.sum() / words.sum()), 6),
        "snr_db": round(float(accepted.snr_db.mean()), 2),
        "rebuild_changes": {
            "clips": round(float(np.mean([np.count_nonzero(change) for change in changes])), 2),
            "errors": round(float(np.mean([change.sum() for change in changes])), 2),
        },
    }


def simulate_all(variants: dict[str, Any], args: argparse.Namespace, stages: Stages) -> dict[str, Any]:
    """Count verdicts by number of clips, of each broken scale, and of speed under noise."""
    import numpy as np

    from benchmarks.detection.noise import simulate_speed
    from benchmarks.detection.runs import Outcome
    from benchmarks.detection.simulate import clips_for, simulate, verdict_of
    from trtforge.checks import CheckConfig

    config, words = CheckConfig(), np.array(variants["words"], np.int64)
    rows = variants["outcomes"]
    accepted = Outcome.from_json(rows[0])
    rebuilds = [Outcome.from_json(row) for row in rows if row["kind"] == "rebuild"]
    spoiled = [
        {"tensor": row["tensor"], "factor": row["factor"], "outcome": Outcome.from_json(row)}
        for row in rows
        if row["kind"] == "broken"
    ]
    with stages.stage("simulate"):
        verdicts = simulate(
            accepted,
            rebuilds,
            spoiled,
            words,
            sizes=[size for size in SIZES if args.limit is None or size <= words.size] or [words.size],
            points=POINTS,
            trials=args.trials,
            config=config,
        )
        noises = simulate_speed(config, trials=args.trials, slowdown=SLOWDOWN)
    return {
        "trials": args.trials,
        "clips_for": [
            {"points": value, "num_clips": clips_for(value, accepted, rebuilds, words, config)}
            for value in POINTS
        ],
        "verdicts": verdicts,
        "broken": [
            {
                "tensor": row["tensor"],
                "factor": row["factor"],
                "wer_increase": round(
                    100 * float((row["outcome"].errors - accepted.errors).sum() / words.sum()), 2
                ),
                "snr_loss_db": round(float((accepted.snr_db - row["outcome"].snr_db).mean()), 2),
                "verdict": verdict_of(accepted, row["outcome"], words, config),
            }
            for row in spoiled
        ],
        "noises": noises,
    }


def measure_times(args: argparse.Namespace, stages: Stages) -> dict[str, Any]:
    """Time runs of the recogniser in FP32 and INT8, each in a process of its own, and judge sets of them."""
    import tempfile

    from benchmarks.detection.speed import judge_pairs, measure_speed
    from trtforge.checks import CheckConfig
    from trtforge.external_data import save_model
    from trtforge.model import load_model
    from trtforge.pipeline import quantize
    from trtforge.scales import Scales

    with stages.stage("speed") as stage, tempfile.TemporaryDirectory() as folder:
        candidate = Path(folder) / "int8.onnx"
        save_model(quantize(load_model(MODEL), Scales.load(SCALES)), candidate)
        ratios = measure_speed(
            MODEL, candidate, runs=args.runs, rounds=ROUNDS, slowdown=SLOWDOWN, on_progress=stage
        )
    return {
        "ratios": ratios,
        "verdicts": judge_pairs(ratios, CheckConfig(), trials=args.trials, rounds=ROUNDS),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    PUBLICATION.add_options(parser)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="(default: all)")
    parser.add_argument(
        "--trials", type=int, default=200, metavar="N", help="checks of each kind (default: 200)"
    )
    parser.add_argument(
        "--rebuilds", type=int, default=10, metavar="N", help="variants that stand for rebuilds (default: 10)"
    )
    parser.add_argument(
        "--runs", type=int, default=RUNS, metavar="N", help=f"runs that are timed (default: {RUNS})"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
