"""``trtforge compile``: the whole way from clips and a network to an engine and its report."""

from __future__ import annotations

import argparse
import math

from trtforge.cli._build_options import OPTIONS as BUILDER_OPTIONS
from trtforge.cli._build_options import add_builder_options, build_config
from trtforge.cli._options import (
    add_activation_memory,
    add_assignment,
    add_attention,
    add_build,
    add_calibration,
    add_collect_on,
    add_frames,
    add_keep_float,
    add_model,
    add_profiles,
    chosen_percentile,
    command_line,
    make_console,
    max_batch_of,
    planned_profiles,
    print_notes,
)
from trtforge.precisions import PRECISIONS

OPTIONS = {
    **BUILDER_OPTIONS,
    "activation_bytes": ("--activation-memory",),
    "clips": ("--calibration-set",),
    "frame_counts": ("--frames",),
    "profiles": ("--frames", "--profiles"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add_model(parser)
    parser.add_argument("--calibration-set", metavar="DIR", help="clips to calibrate on")
    parser.add_argument("--evaluate", metavar="DIR", help="other clips, to count word errors on")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="folder for what is made")
    parser.add_argument(
        "--precision",
        choices=(*PRECISIONS, "fastest"),
        default="int8",
        help="default: int8; fastest times engines on the GPU here and keeps INT8 only where it beats FP16",
    )
    add_calibration(parser)
    add_assignment(parser)
    add_keep_float(parser)
    add_attention(parser)
    parser.add_argument(
        "--smooth",
        action="store_true",
        help="move outlier channels into weights before calibration (trtforge smooth); for transformers",
    )
    add_activation_memory(parser)
    add_collect_on(parser)
    add_build(parser)
    add_builder_options(parser)
    lengths = parser.add_mutually_exclusive_group()
    add_frames(lengths)
    add_profiles(lengths)
    budget = parser.add_argument_group("requirement", "exit with status 1 where accuracy falls short")
    budget.add_argument(
        "--max-wer-increase",
        type=float,
        metavar="POINTS",
        help="largest increase of the word error rate, overall",
    )
    budget.add_argument(
        "--max-stratum-wer-increase",
        type=float,
        metavar="POINTS",
        help="the same in any stratum of 30 or more clips",
    )


def run(args: argparse.Namespace) -> None:
    """Compile, write the files, print the tables."""
    from pathlib import Path

    from rich.markup import escape
    from rich.text import Text

    from trtforge.assignment import Assignment
    from trtforge.errors import ConfigError
    from trtforge.model import load_model
    from trtforge.pipeline import compile as compile_model

    for points in (args.max_wer_increase, args.max_stratum_wer_increase):
        if points is not None and not math.isfinite(points):
            raise ConfigError(f"a largest WER increase must be a finite number of points, got {points}")
    wants_budget = args.max_wer_increase is not None or args.max_stratum_wer_increase is not None
    if wants_budget and args.evaluate is None:
        raise ConfigError(
            "a largest WER increase was given, but no clips to measure it on", hint="add --evaluate DIR"
        )
    console = make_console()
    asked = args.frames or args.profiles or args.max_batch is not None
    profiles = planned_profiles(args, load_model(args.model)) if asked else ()
    result = compile_model(
        args.model,
        args.calibration_set,
        precision=args.precision,
        evaluate=args.evaluate,
        method=args.method,
        percentile=chosen_percentile(args),
        exclude=args.exclude,
        keep_float=args.keep_float,
        attention=args.attention,
        keep_float32=args.keep_float32,
        assignment=Assignment.load(args.assignment) if args.assignment else None,
        smooth=args.smooth,
        activation_bytes=args.activation_memory,
        collect_on=args.collect_on,
        profiles=profiles or None,
        max_batch=max_batch_of(args),
        config=build_config(args),
        flavor=args.flavor,
        store=args.store,
        output=args.output,
        command=command_line(),
        console=console,
    )
    if result.accuracy is not None:
        console.print()
        console.print(result.accuracy)
    print_notes(console, result.remarks)
    console.print()
    console.print(f"[bold]engine[/]  {escape(str(result.engine))}")
    for path in sorted(result.files(args.output)):
        console.print(Text(f"        {path}", style="dim"), soft_wrap=True)
    console.print(f"[bold]report[/]  {escape(str(Path(args.output) / 'report.html'))}", soft_wrap=True)
    if wants_budget and result.accuracy is not None:
        result.accuracy.require(
            wer_increase=_fraction(args.max_wer_increase),
            stratum_wer_increase=_fraction(args.max_stratum_wer_increase),
        )


def _fraction(points: float | None) -> float:
    """Convert points to a fraction; None to one that nothing exceeds."""
    return 1e9 if points is None else points / 100
