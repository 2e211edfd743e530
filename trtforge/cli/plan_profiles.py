"""``trtforge plan-profiles``: buckets of lengths for ``build`` and ``compile``, from observed lengths."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trtforge.cli._lengths import observed_lengths
from trtforge.cli._options import check_writable, make_console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from trtforge.profiles import MeasuredCost, ProfilePlan

OPTIONS = {
    "frame_counts": ("LENGTHS",),
    "cost": ("--measured",),
    "lengths": ("LENGTHS",),
    "shortest": ("LENGTHS", "--measure"),
    "longest": ("LENGTHS", "--max-frames", "--measure"),
    "num_points": ("--measure",),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "lengths",
        metavar="LENGTHS",
        nargs="+",
        help="folders of clip sets, CSV files (with --column), or - for numbers on standard input",
    )
    parser.add_argument("-o", "--output", metavar="JSON", required=True, help="the plan, for --profiles")
    parser.add_argument("--column", metavar="NAME", help="the CSV column that holds the lengths")
    parser.add_argument(
        "--unit",
        choices=("frames", "seconds"),
        default="frames",
        help="unit of CSV columns and of standard input (default: frames)",
    )
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="the network whose features turn seconds into frames (default: 100 frames a second)",
    )
    parser.add_argument(
        "--max-profiles", type=int, default=8, metavar="N", help="most profiles to plan (default: 8)"
    )
    parser.add_argument(
        "--profile-price",
        type=float,
        default=0.005,
        metavar="SHARE",
        help="share of the exact work that a further profile must save (default: 0.005)",
    )
    parser.add_argument(
        "--multiple-of", type=int, default=8, metavar="N", help="align the lengths to N frames (default: 8)"
    )
    parser.add_argument(
        "--batch-sizes",
        type=int,
        nargs="+",
        default=[1, 8],
        metavar="N",
        help="observed numbers of rows (default: 1 8)",
    )
    costs = parser.add_mutually_exclusive_group()
    costs.add_argument(
        "--measure",
        metavar="FILE",
        help="time this network on the CPU, or this .engine on the GPU, at six of the lengths; the times "
        "replace frames as the cost",
    )
    costs.add_argument(
        "--measured",
        action="append",
        type=_point,
        metavar="FRAMES=MS",
        help="measured time of one length; given twice or more, it replaces frames as the cost",
    )
    parser.add_argument(
        "--coverage", type=float, default=1.0, metavar="SHARE", help="share of items to fit (default: 1)"
    )
    parser.add_argument("--max-frames", type=int, metavar="N", help="longest length to plan for")
    parser.add_argument(
        "--outside",
        choices=("reject", "cut", "extend"),
        default="reject",
        help="what happens to longer items: refuse them, cut them, or let the last profile take them untuned "
        "(default: reject)",
    )
    parser.add_argument("--plot", metavar="SVG", help="draw waste against the number of profiles")


def run(args: argparse.Namespace) -> None:
    """Plan, print the table, write the files."""
    from rich.markup import escape

    from trtforge._files import write_text
    from trtforge.profiles import MeasuredCost, plan_buckets
    from trtforge.report.waste import draw_waste

    for path in filter(None, (args.output, args.plot)):
        check_writable(path)
    lengths = observed_lengths(args.lengths, column=args.column, unit=args.unit, model=args.model)
    console = make_console()
    cost = MeasuredCost(args.measured) if args.measured else None
    if args.measure:
        cost = _measure(args, lengths.frames, console)
    plan = plan_buckets(
        lengths.frames,
        batch_sizes=args.batch_sizes,
        cost=cost,
        profile_price=args.profile_price,
        max_profiles=args.max_profiles,
        multiple_of=args.multiple_of,
        coverage=args.coverage,
        max_frames=args.max_frames,
        outside=args.outside,
    )
    plan.save(args.output)
    for table in plan_tables(plan, "frames" if cost is None else "ms"):
        console.print(table)
    for source, count in lengths.empty_rows.items():
        rows = f"{count} row{'s' * (count > 1)}"
        said = f"{rows} of {source} left out: nothing in column {args.column!r}"
        console.print(f"[bold]empty[/]     {escape(said)}", soft_wrap=not console.is_terminal)
    console.print(f"[bold]padding[/]   {100 * plan.waste:.2f} % of the exact cost")
    console.print(f"[bold]coverage[/]  {escape(str(plan.coverage))}", soft_wrap=not console.is_terminal)
    if args.plot:
        points = [(point.num_profiles, point.waste) for point in plan.curve]
        write_text(args.plot, draw_waste({"Waste": {"planned": points}}, chosen=len(plan.buckets)))
        console.print(f"[bold]plot[/]      {escape(args.plot)}", soft_wrap=True)
    console.print(f"[bold]plan[/]      {escape(args.output)}", soft_wrap=True)


def _measure(args: argparse.Namespace, frames: list[int], console: Console) -> MeasuredCost:
    from trtforge._progress import Stages
    from trtforge.pipeline.costing import lengths_to_time, measure_cost
    from trtforge.profiles import Workload

    longest = min(max(frames), max(frames) if args.max_frames is None else args.max_frames)
    lengths = lengths_to_time(min(min(frames), longest), longest, multiple_of=args.multiple_of)
    with Stages(console).stage("measure") as stage:
        cost = measure_cost(
            args.measure, lengths, batch_size=Workload.of(args.batch_sizes).typical, on_progress=stage
        )
        stage.note(", ".join(f"{length:.0f} frames {ms:.3g} ms" for length, ms in cost.points))
    return cost


def plan_tables(plan: ProfilePlan, unit: str = "") -> list[Table]:
    """Return the profiles of a plan, and what fewer and more of them would waste, as tables.

    Parameters
    ----------
    plan : what is shown.
    unit : of its costs; a plan does not say.
    """
    return [_buckets(plan, unit), _curve(plan)]


def _buckets(plan: ProfilePlan, unit: str) -> Table:
    from trtforge._tables import make_table

    costs = f"; exact and padded in {unit}" if unit else ""
    table = make_table(f"Profiles, for batches of {plan.batch[0]} to {plan.batch[2]}{costs}")
    table.add_column("profile")
    for heading in ("min", "opt", "max", "items", "exact", "padded", "padding"):
        table.add_column(heading, justify="right")
    for index, bucket in enumerate(plan.buckets):
        sums = (f"{bucket.exact:.6g}", f"{bucket.padded:.6g}", f"{100 * bucket.waste:.1f} %")
        table.add_row(str(index), *map(str, bucket.frames), str(bucket.num_items), *sums)
    return table


def _curve(plan: ProfilePlan) -> Table:
    from trtforge._tables import make_table

    table = make_table("Least padding")
    table.add_column("profiles", justify="right")
    table.add_column("padding, %", justify="right")
    for point in plan.curve:
        table.add_row(str(point.num_profiles), f"{100 * point.waste:.1f}")
    return table


def _point(text: str) -> tuple[float, float]:
    length, _, ms = text.partition("=")
    try:
        return float(length), float(ms)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no FRAMES=MS, such as 500=1.25") from None
