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
    make_console,
    print_path,
)
from trtforge.cli._outputs import check_outputs

OPTIONS = {"dtype": ("--weights-only",)}
# Options of one way that say nothing to the other.
_WITH_SCALES = ("to", "attention", "keep_float", "assignment")
_WITH_WEIGHTS_ONLY = ("block_size",)


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
        help="type of what is not INT8: float32 for TensorRT 8.6 and 10, else float16; by default what the "
        "library takes that builds on this machine, with --weights-only float16",
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
    parser.set_defaults(
        defaults={name: parser.get_default(name) for name in (*_WITH_SCALES, *_WITH_WEIGHTS_ONLY)}
    )


def run(args: argparse.Namespace) -> None:
    """Quantize, write the network, say what it holds."""
    from trtforge.assignment import Assignment
    from trtforge.calibration import Observations
    from trtforge.cli.inspect import graph_table
    from trtforge.errors import ConfigError
    from trtforge.external_data import save_model
    from trtforge.graph import describe
    from trtforge.pipeline import quantize, quantize_weights
    from trtforge.scales import Scales

    way, others = ("--weights-only", _WITH_SCALES) if args.weights_only else ("--scales", _WITH_WEIGHTS_ONLY)
    for setting in others:
        if getattr(args, setting) != args.defaults[setting]:
            raise ConfigError(f"--{setting.replace('_', '-')} has no effect with {way}", hint="leave it out")
    inputs = {
        "MODEL": args.model,
        "--scales": args.scales,
        "--observations": args.observations,
        "--assignment": args.assignment,
    }
    check_outputs({**inputs, "--output": args.output}, read=inputs)
    observations = Observations.load(args.observations) if args.observations else None
    if args.weights_only:
        model = quantize_weights(
            args.model,
            args.weights_only,
            block_size=args.block_size,
            rest=args.rest or "float16",
            exclude=args.exclude,
            keep_float32=args.keep_float32,
            observations=observations,
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
            observations=observations,
            to=args.to,
            assignment=Assignment.load(args.assignment) if args.assignment else None,
        )
    save_model(model, args.output)
    console = make_console()
    console.print(graph_table(describe(model)))
    print_path(console, "network", args.output)
