"""Show why the clips matter: one network calibrated on speech, noise and pictures, its word errors counted.

``python -m benchmarks.bench_calibration_data`` measures, then writes JSON, plot and the page's tables; with
``--redraw`` it makes plot and tables anew from the JSON that is there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.calibration_data.measure import FORMAT, measure
from benchmarks.calibration_data.page import tables
from benchmarks.calibration_data.plot import draw
from benchmarks.calibration_data.sources import make_sources
from benchmarks.environment import describe_run
from benchmarks.pages import ROOT, Publication

MODULE = "benchmarks.bench_calibration_data"
RESULT = ROOT / "benchmarks/results/calibration_data.json"
PLOT = ROOT / "docs/images/calibration_data.svg"
PAGE = ROOT / "docs/why-the-clips-matter.md"

PUBLICATION = Publication(MODULE, FORMAT, RESULT, PAGE, tables, PLOT, draw)
load, fill = PUBLICATION.load, PUBLICATION.fill


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser().parse_args(given)
    return PUBLICATION.run(args, lambda _: _measure(args, given))


def _measure(args: argparse.Namespace, given: Sequence[str]) -> dict[str, Any]:
    from rich.console import Console

    from trtforge._progress import Stages
    from trtforge.audio import ClipSet, LogMel

    features = LogMel.for_model(args.model)
    clips, test = ClipSet.load(args.calibration_set), ClipSet.load(args.test_set)
    sources = make_sources(clips, features, seed=args.seed, limit=args.limit)
    result = measure(args.model, features, sources, test[: args.limit], Stages(Console()))
    return {**result, "seed": args.seed, "limit": args.limit, "run": describe_run(MODULE, given)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    paths = (
        ("--model", ROOT / "examples/models/asr_en/asr_en.onnx", "the network, in FP32"),
        ("--calibration-set", ROOT / "calibration_sets/podcast_en", "the representative clips"),
        ("--test-set", ROOT / "calibration_sets/podcast_en_test", "the clips that errors are counted on"),
    )
    for option, default, text in paths:
        parser.add_argument(option, type=Path, default=default, metavar="PATH", help=text)
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn at random (default: 0)")
    PUBLICATION.add_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
