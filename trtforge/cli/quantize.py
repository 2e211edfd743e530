"""``trtforge quantize``: the Q/DQ network that a scales file describes."""

from __future__ import annotations

import argparse

from trtforge.cli._options import (
    add_attention,
    add_exclude,
    add_keep_float,
    add_model,
    check_writable,
    make_console,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add_model(parser)
    parser.add_argument("--scales", metavar="SCALES", required=True, help="what trtforge calibrate wrote")
    parser.add_argument("-o", "--output", metavar="ONNX", required=True, help="the .onnx file to write")
    parser.add_argument(
        "--rest",
        choices=("float16", "float32"),
        default="float16",
        help="type of what is not INT8: float32 for TensorRT 8.6, else float16 (default)",
    )
    add_exclude(parser)
    add_keep_float(parser)
    add_attention(parser)


def run(args: argparse.Namespace) -> None:
    """Quantize, write the network, say what it holds."""
    from trtforge._files import write_bytes
    from trtforge.cli.inspect import graph_table
    from trtforge.graph import describe
    from trtforge.pipeline import quantize
    from trtforge.scales import Scales

    check_writable(args.output)
    model = quantize(
        args.model,
        Scales.load(args.scales),
        rest=args.rest,
        exclude=args.exclude,
        keep_float=args.keep_float,
        attention=args.attention,
        keep_float32=args.keep_float32,
    )
    write_bytes(args.output, model.SerializeToString())
    console = make_console()
    console.print(graph_table(describe(model)))
    console.print(f"[bold]network[/]  {args.output}", soft_wrap=True)
