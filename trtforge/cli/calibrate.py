"""``trtforge calibrate``: INT8 ranges from a network and clips."""

from __future__ import annotations

import argparse

from trtforge.cli._options import (
    add_activation_memory,
    add_attention,
    add_calibration,
    add_collect_on,
    add_model,
    check_writable,
    make_console,
    print_path,
)

OPTIONS = {
    "tensors": ("--observe",),
    "activation_bytes": ("--activation-memory",),
    "clips": ("--calibration-set",),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add_model(parser)
    parser.add_argument("--calibration-set", metavar="DIR", required=True, help="clips to calibrate on")
    parser.add_argument("-o", "--output", metavar="SCALES", required=True, help="the .json file to write")
    parser.add_argument(
        "--save-observations", metavar="NPZ", help="also keep the histograms, to choose from again"
    )
    parser.add_argument(
        "--observe",
        choices=("int8", "all"),
        default="int8",
        help="which tensors: those that INT8 touches (default), or also those that FP16 would hold",
    )
    add_calibration(parser)
    add_attention(parser)
    add_activation_memory(parser)
    add_collect_on(parser)


def run(args: argparse.Namespace) -> None:
    """Observe, choose, write the scales."""
    from trtforge._progress import Stages
    from trtforge.audio import ClipSet, features_for_model
    from trtforge.cli.inspect import scales_table
    from trtforge.model import load_model
    from trtforge.pipeline import observe
    from trtforge.pipeline.quantization import scales_from, summarize_scales

    check_writable(args.output)
    console = make_console()
    model = load_model(args.model)
    clips = ClipSet.load(args.calibration_set)
    with Stages(console).stage("calibrate") as stage:
        observations = observe(
            model,
            clips.feeds(features_for_model(model)),
            exclude=args.exclude,
            attention=args.attention,
            activation_bytes=args.activation_memory,
            collect_on=args.collect_on,
            tensors=args.observe,
            on_progress=stage,
        )
        scales = scales_from(
            observations,
            model,
            method=args.method,
            percentile=args.percentile,
            exclude=args.exclude,
            attention=args.attention,
        )
        stage.note(summarize_scales(scales))
    scales.save(args.output)
    if args.save_observations:
        observations.save(args.save_observations)
    console.print(scales_table(scales))
    print_path(console, "scales", args.output)
