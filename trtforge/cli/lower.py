"""``trtforge lower``: a network typed in FP16 or BF16."""

from __future__ import annotations

import argparse

from trtforge.cli._options import (
    add_keep_float32,
    add_model,
    add_observations,
    make_console,
    print_path,
)
from trtforge.cli._outputs import check_outputs

OPTIONS = {"keep_io": ("--lower-io",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add_model(parser)
    parser.add_argument("-o", "--output", metavar="ONNX", required=True, help="the .onnx file to write")
    parser.add_argument(
        "--precision", choices=("float16", "bfloat16"), default="float16", help="default: float16"
    )
    parser.add_argument("--lower-io", action="store_true", help="lower inputs and outputs too")
    add_keep_float32(parser)
    add_observations(parser)


def run(args: argparse.Namespace) -> None:
    """Type the network, write it, say what it holds."""
    from trtforge.calibration import Observations
    from trtforge.cli.inspect import graph_table
    from trtforge.external_data import save_model
    from trtforge.graph import describe
    from trtforge.pipeline import lower

    inputs = {"MODEL": args.model, "--observations": args.observations}
    check_outputs({**inputs, "--output": args.output}, read=inputs)
    model = lower(
        args.model,
        args.precision,
        keep_io=not args.lower_io,
        keep_float32=args.keep_float32,
        observations=Observations.load(args.observations) if args.observations else None,
    )
    save_model(model, args.output)
    console = make_console()
    console.print(graph_table(describe(model)))
    print_path(console, "network", args.output)
