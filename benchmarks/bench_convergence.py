"""Show how many clips are enough: drift of the scales by number of clips, order and method.

``python -m benchmarks.bench_convergence`` measures, then writes the JSON, the plot and the page's tables;
with ``--redraw`` it makes plot and tables anew from JSON that is there. Its 2688 clips are synthesised into
``out/`` where they are not there yet, which takes espeak-ng.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.convergence.page import tables
from benchmarks.convergence.plot import draw
from benchmarks.environment import describe_run
from benchmarks.pages import ROOT, Publication
from calibration_sets.synthesis.build import build
from calibration_sets.synthesis.design import SetName
from calibration_sets.synthesis.store import MANIFEST, read_manifest

MODULE = "benchmarks.bench_convergence"
FORMAT = "trtforge.bench.convergence/1"
RESULT = ROOT / "benchmarks/results/convergence.json"
PLOT = ROOT / "docs/images/convergence.svg"
PAGE = ROOT / "docs/how-many-clips.md"
SET: SetName = "podcast_en_large"
_DIGITS = 6

PUBLICATION = Publication(MODULE, FORMAT, RESULT, PAGE, tables, PLOT, draw)
load, fill = PUBLICATION.load, PUBLICATION.fill


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser().parse_args(given)
    return PUBLICATION.run(args, lambda _: {**measure(args), "run": describe_run(MODULE, given)})


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Observe every clip once, then choose thresholds over the first 8, 16, ... of each order."""
    from rich.console import Console

    from trtforge._progress import Stages
    from trtforge.audio import ClipSet
    from trtforge.calibration import convergence
    from trtforge.pipeline import CLEAN, make_orders, observe_clips

    stages = Stages(Console())
    folder = args.calibration_set or synthesised()
    clips = ClipSet.load(folder)[: args.limit]
    with stages.stage("observe") as stage:
        observed = observe_clips(args.model, clips, on_progress=stage)
    orders = make_orders(clips, observed.clip_ids, num_seeds=args.seeds)
    with stages.stage("choose"):
        found = convergence(observed, orders)
    return {
        "format": FORMAT,
        "model": {"file": Path(args.model).name, "sha256": observed.model_sha256},
        "clips": {
            "name": clips.name,
            "sha256": clips.digest,
            "num_clips": found.num_clips,
            "made_by": _made_by(folder),
        },
        "clean": dict(CLEAN),
        "num_clips_of_order": {kind: len(sequences[0]) for kind, sequences in orders.items()},
        "seeds": args.seeds,
        "limit": args.limit,
        "limits": {"median": found.max_median, "p99": found.max_p99},
        "drifts": [
            {
                "order": drift.order,
                "method": drift.method,
                "num_clips": drift.num_clips,
                "median": round(drift.median, _DIGITS),
                "p99": round(drift.p99, _DIGITS),
                "by_tensor": {name: round(value, _DIGITS) for name, value in drift.by_tensor.items()},
            }
            for drift in found.drifts
        ],
        "enough": [
            {"order": order, "method": method, "num_clips": found.enough(order, method)}
            for order in found.orders
            for method in found.methods
        ],
    }


def synthesised() -> Path:
    """Return the folder of the large set, made where it is not there yet."""
    from rich.console import Console

    folder = ROOT / "out" / SET
    if not (folder / MANIFEST).is_file():
        build(SET, folder, workers=os.cpu_count() or 1, console=Console())
    return folder


def _made_by(folder: Path) -> list[str]:
    """Name the speech programs of a synthetic set, with their versions."""
    if not (folder / MANIFEST).is_file():
        return []
    return sorted({entry["recipe"]["program"] for entry in read_manifest(folder) if "recipe" in entry})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    model = ROOT / "examples/models/asr_en/asr_en.onnx"
    parser.add_argument("--model", type=Path, default=model, metavar="PATH", help="the network, in FP32")
    parser.add_argument(
        "--calibration-set", type=Path, metavar="PATH", help=f"the clips (default: {SET}, made in out/)"
    )
    parser.add_argument(
        "--seeds", type=int, default=10, metavar="N", help="orders of each kind (default: 10)"
    )
    PUBLICATION.add_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
