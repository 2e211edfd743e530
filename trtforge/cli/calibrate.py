"""``trtforge calibrate``: INT8 ranges from a network and clips."""

from __future__ import annotations

import argparse

from trtforge.cli._options import add_calibration, add_model, check_writable, make_console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add_model(parser)
    parser.add_argument("--calibration-set", metavar="DIR", required=True, help="clips to calibrate on")
    parser.add_argument("-o", "--output", metavar="SCALES", required=True, help="the .json file to write")
    parser.add_argument(
        "--save-observations", metavar="NPZ", help="also keep the histograms, to choose from again"
    )
    add_calibration(parser)


def run(args: argparse.Namespace) -> None:
    """Observe, choose, write the scales."""
    from dataclasses import replace

    from trtforge._progress import Stages
    from trtforge.audio import ClipSet, features_for_model
    from trtforge.calibration import choose
    from trtforge.cli.inspect import scales_table
    from trtforge.model import load_model
    from trtforge.pipeline import observe

    check_writable(args.output)
    console = make_console()
    model = load_model(args.model)
    clips = ClipSet.load(args.calibration_set)
    with Stages(console).stage("calibrate") as stage:
        feeds = clips.feeds(features_for_model(model))
        observations = observe(model, feeds, exclude=args.exclude, on_progress=stage)
        observations = replace(observations, rejected={**clips.rejected, **observations.rejected})
        scales = choose(observations, args.method, percentile=args.percentile)
        left_out = f", {len(scales.rejected)} left out" if scales.rejected else ""
        stage.note(f"{len(scales)} tensors on {scales.num_clips} clips, {scales.method}{left_out}")
    scales.save(args.output)
    if args.save_observations:
        observations.save(args.save_observations)
    console.print(scales_table(scales))
    console.print(f"[bold]scales[/]  {args.output}", soft_wrap=True)
