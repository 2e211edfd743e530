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
from benchmarks.calibration_data.page import fill
from benchmarks.calibration_data.plot import draw
from benchmarks.calibration_data.sources import make_sources
from benchmarks.environment import describe_run
from benchmarks.pages import load_result, to_text
from trtforge._files import write_text
from trtforge.errors import TrtforgeError

MODULE = "benchmarks.bench_calibration_data"
ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/calibration_data.json"
PLOT = ROOT / "docs/images/calibration_data.svg"
PAGE = ROOT / "docs/why-the-clips-matter.md"
TRIAL = ROOT / "out/calibration_data.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser().parse_args(given)
    # A run on a few clips must not replace published numbers unless told to.
    published = args.limit is None or args.redraw
    output = args.output or (RESULT if published else TRIAL)
    plot = args.plot or (PLOT if published else output.with_suffix(".svg"))
    page = args.page or (PAGE if published else None)
    try:
        if not args.redraw:
            write_text(output, to_text(_measure(args, given)))
        result = load(output)
        write_text(plot, draw(result))
        if page is not None:
            write_text(page, fill(page.read_text(encoding="utf-8"), result))
    except TrtforgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(*map(_shown, filter(None, (output, plot, page))), sep="\n")
    return 0


def load(path: Path) -> dict[str, Any]:
    """Read a result that `main` wrote.

    Raises
    ------
    ReportError : the file is missing or is not such a result.
    """
    return load_result(path, kind=FORMAT, module=MODULE)


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
    paths: tuple[tuple[str, Path | None, str], ...] = (
        ("--model", ROOT / "examples/models/asr_en/asr_en.onnx", "the network, in FP32"),
        ("--calibration-set", ROOT / "calibration_sets/podcast_en", "the representative clips"),
        ("--test-set", ROOT / "calibration_sets/podcast_en_test", "the clips that errors are counted on"),
        ("--output", None, f"the JSON (default: {_shown(RESULT)})"),
        ("--plot", None, f"the SVG (default: {_shown(PLOT)})"),
        ("--page", None, f"the page whose tables are replaced (default: {_shown(PAGE)})"),
    )
    for option, default, text in paths:
        parser.add_argument(option, type=Path, default=default, metavar="PATH", help=text)
    parser.add_argument(
        "--limit",
        type=_positive,
        metavar="N",
        help="at most N clips of each set, for a trial; writes to out/",
    )
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn at random (default: 0)")
    parser.add_argument("--redraw", action="store_true", help="measure nothing; use the JSON that is there")
    return parser


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"at least 1 is needed, got {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
