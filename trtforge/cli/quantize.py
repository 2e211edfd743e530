"""``trtforge quantize``: the Q/DQ network that a scales file describes, or one of narrow weights."""

from __future__ import annotations

import argparse

from trtforge.cli._options import (
    add_assignment,
    add_attention,
    add_exclude,
    add_keep_float,
    add_model,
    add_observations,
    check_writable,
    make_console,
)

OPTIONS = {"dtype": ("--weights-only",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add_model(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--scales", metavar="SCALES", help="what trtforge calibrate wrote")
    source.add_argument(
        "--weights-only", choices=("int8", "int4"), help="store weights so and compute in --rest; no scales"
    )
    parser.add_argument("-o", "--output", metavar="ONNX", required=True, help="the .onnx file to write")
    parser.add_argument(
        "--rest",
        choices=("float16", "float32"),
        default="float16",
        help="type of what is not INT8: float32 for TensorRT 8.6, else float16 (default)",
    )
    add_observations(parser)
    parser.add_argument(
        "--to", choices=("int8", "float8"), default="int8", help="type that --scales quantizes to"
    )
    parser.add_argument(
        "--block-size",
        type=int,
        default=64,
        metavar="N",
        help="weights that share a scale with --weights-only: 16, 32, 64 (default) or 128",
    )
    add_exclude(parser)
    add_assignment(parser)
    add_keep_float(parser)
    add_attention(parser)


def run(args: argparse.Namespace) -> None:
    """Quantize, write the network, say what it holds."""
    from trtforge.assignment import Assignment
    from trtforge.calibration import Observations
    from trtforge.cli.inspect import graph_table
    from trtforge.external_data import save_model
    from trtforge.graph import describe
    from trtforge.pipeline import quantize, quantize_weights
    from trtforge.scales import Scales

    check_writable(args.output)
    if args.weights_only:
        model = quantize_weights(
            args.model,
            args.weights_only,
            block_size=args.block_size,
            rest=args.rest,
            exclude=args.exclude,
            keep_float32=args.keep_float32,
        )
    else:
        model = quantize(
            args.model,
            Scales.load(args.scales),
            rest=args.rest,
            exclude=args.exclude,
            keep_float=args.keep_float,
            attention=args.attention,
            keep_float32=args.keep_float32,
            observations=Observations.load(args.observations) if args.observations else None,
            to=args.to,
            assignment=Assignment.load(args.assignment) if args.assignment else None,
        )
    save_model(model, args.output)
    console = make_console()
    console.print(graph_table(describe(model)))
    console.print(f"[bold]network[/]  {args.output}", soft_wrap=True)
