"""``trtforge search``: what each layer costs in INT8, and the assignment that a budget allows."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from trtforge.cli._options import (
    DEFAULT_MAX_BATCH,
    add_attention,
    add_exclude,
    add_frames,
    add_model,
    add_profiles,
    check_writable,
    make_console,
    planned_profiles,
)

if TYPE_CHECKING:
    from rich.table import Table

    from trtforge.assignment import ChoiceTime, Score
    from trtforge.pipeline import FrontierTiming, Search

OPTIONS = {
    "wer_increase": ("--max-wer-increase",),
    "stratum_wer_increase": ("--max-stratum-wer-increase",),
    "snr_db": ("--min-snr",),
    "budget": ("--max-wer-increase", "--max-stratum-wer-increase", "--min-snr"),
    "min_clips": ("--min-clips",),
    "num_processes": ("--processes",),
    "journal": ("--output",),
    "profiles": ("--frames", "--profiles"),
    "frame_counts": ("--frames",),
    "timing": ("--time",),
}

# Options that say how the engines are built which are timed.
_OF_TIMING = ("flavor", "max_batch", "frames", "profiles")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add_model(parser)
    parser.add_argument("--scales", metavar="SCALES", required=True, help="what trtforge calibrate wrote")
    parser.add_argument("--clips", metavar="DIR", required=True, help="clips to judge on, with their texts")
    parser.add_argument(
        "-o", "--output", metavar="OUT", required=True, help="folder for assignment, search, plot and journal"
    )
    budget = parser.add_argument_group(
        "budget", "where none is given, 0.3 points overall and 0.5 in any stratum of 30 or more clips"
    )
    budget.add_argument(
        "--max-wer-increase", type=float, metavar="POINTS", help="most increase of the word error rate"
    )
    budget.add_argument(
        "--max-stratum-wer-increase",
        type=float,
        metavar="POINTS",
        help="the same in any stratum of --min-clips or more clips",
    )
    budget.add_argument("--min-snr", type=float, metavar="DB", help="least signal to noise of the outputs")
    budget.add_argument("--min-clips", type=int, default=30, metavar="N", help="default: 30")
    parser.add_argument(
        "--by",
        choices=("layer", "block"),
        default="layer",
        help="what is quantized together: one layer, or all whose names agree up to the first number",
    )
    add_exclude(parser)
    add_attention(parser)
    parser.add_argument(
        "--max-points", type=int, default=32, metavar="N", help="most points of the frontier (default: 32)"
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=len(os.sched_getaffinity(0)),
        metavar="N",
        help="networks run side by side (default: one for each usable core)",
    )
    timing = parser.add_argument_group("time", "of each choice on the frontier by that of FP16, on a GPU")
    timing.add_argument("--time", action="store_true", help="build and time them; the fastest is taken")
    timing.add_argument(
        "--flavor", choices=("tensorrt", "tensorrt_rtx"), help="library (default: tensorrt where it is)"
    )
    timing.add_argument(
        "--max-batch", type=int, metavar="N", help=f"largest batch (default: {DEFAULT_MAX_BATCH})"
    )
    lengths = timing.add_mutually_exclusive_group()
    add_frames(lengths)
    add_profiles(lengths)


def run(args: argparse.Namespace) -> None:
    """Search, write the files, print the tables."""
    from pathlib import Path

    from trtforge._progress import Stages
    from trtforge.assignment import AccuracyBudget
    from trtforge.pipeline import search
    from trtforge.pipeline.searching import DEFAULT_BUDGET
    from trtforge.scales import Scales

    timing, scales = _frontier_timing(args), Scales.load(args.scales)
    folder = Path(args.output)
    check_writable(str(folder / "journal.json"))
    points = (args.max_wer_increase, args.max_stratum_wer_increase)
    overall, stratum = (None if value is None else value / 100 for value in points)
    asked = any(value is not None for value in (*points, args.min_snr))
    if not asked:
        overall, stratum = DEFAULT_BUDGET.wer_increase, DEFAULT_BUDGET.stratum_wer_increase
    console = make_console()
    with Stages(console).stage("search") as stage:
        found = search(
            args.model,
            scales,
            args.clips,
            budget=AccuracyBudget(overall, stratum, args.min_snr, args.min_clips),
            by=args.by,
            exclude=args.exclude,
            attention=args.attention,
            journal=folder / "journal.json",
            max_points=args.max_points,
            num_processes=args.processes,
            timing=timing,
            on_progress=stage,
        )
        stage.note(repr(found.assignment))
    files = found.save(folder)
    console.print(sensitivity_table(found))
    console.print(frontier_table(found))
    kept = ", ".join(found.frontier.chosen.left_out) or "nothing"
    console.print(f"[bold]in floating point[/]  {kept}", soft_wrap=True, markup=True)
    for path in (*files, folder / "journal.json"):
        console.print(f"[dim]{path}[/]", soft_wrap=True)


def _frontier_timing(args: argparse.Namespace) -> FrontierTiming | None:
    """Return how choices are timed, or None where that is not asked."""
    from trtforge.errors import ConfigError
    from trtforge.model import load_model
    from trtforge.nvidia import select
    from trtforge.pipeline import FrontierTiming
    from trtforge.pipeline.engine_timing import require_timing_gpu
    from trtforge.pipeline.frontier_timing import NO_TIMING

    if not args.time:
        given = [name for name in _OF_TIMING if getattr(args, name) is not None]
        if given:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ConfigError(
                f"{options} without --time: nothing is built",
                hint=f"add --time, or leave {options} out",
                settings=("timing",),
            )
        return None
    require_timing_gpu(NO_TIMING)
    return FrontierTiming(planned_profiles(args, load_model(args.model)), select(args.flavor))


def sensitivity_table(found: Search) -> Table:
    """Return what each group costs, alone in INT8 and alone in floating point."""
    from rich.markup import escape

    columns = ("group", "work, %", "dB alone", "WER alone", "dB left out", "WER left out")
    table = _table(*columns, title="What each group costs")
    table.caption = (
        "alone: no other group in INT8; left out: all others are; dB: SNR; WER: increase in points"
    )
    for row in found.sensitivity:
        scores = [text for score in (row.alone, row.left_out) for text in _texts(score)[:2]]
        table.add_row(escape(row.group.name), f"{100 * row.share:.1f}", *scores)
    return table


def frontier_table(found: Search) -> Table:
    """Return the choices that were tried."""
    from rich.markup import escape

    timed = found.frontier.chosen.time is not None
    columns = ("in floating point", "INT8, %", "SNR, dB", "WER", "cosine", *(("time, %",) if timed else ()))
    table = _table(*columns, title="Frontier")
    for point in (*found.frontier.points, *found.frontier.refined):
        names = point.left_out
        shown = (
            f"{len(names)}: {', '.join(names[:2])}{', …' if len(names) > 2 else ''}" if names else "nothing"
        )
        style = "bold" if point == found.frontier.chosen else "dim" if point.excess else ""
        times = [_time_text(point.time)] if timed else []
        table.add_row(
            escape(shown), f"{100 * point.int8_share:.1f}", *_texts(point.score), *times, style=style
        )
    table.caption = "bold: chosen; dim: beyond the budget; WER as increase in points"
    table.caption += "; time by that of FP16" if timed else ""
    return table


def _time_text(time: ChoiceTime | None) -> str:
    return "failed" if time is None or time.ratio is None else f"{100 * time.ratio:.0f}"


def _texts(score: Score) -> tuple[str, str, str]:
    increase = "" if score.words is None else f"{100 * score.words.wer_increase:+.2f}"
    if score.num_nonfinite:
        return "NaN", increase, "NaN"
    return f"{score.snr_db:.1f}", increase, f"{score.cosine:.5f}"


def _table(*columns: str, title: str) -> Table:
    from trtforge._tables import make_table

    table = make_table(title)
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table
