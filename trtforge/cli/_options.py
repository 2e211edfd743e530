"""Options that several commands share, and what they print."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

METHODS = ("entropy", "percentile", "mse", "max")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Take the network as the first argument."""
    parser.add_argument("model", metavar="MODEL", help="the network, an .onnx file in FP32")


def add_calibration(parser: argparse.ArgumentParser) -> None:
    """Take the options of choosing INT8 ranges."""
    parser.add_argument("--method", choices=METHODS, default="entropy", help="how ranges are chosen")
    parser.add_argument(
        "--percentile",
        type=float,
        default=99.99,
        metavar="P",
        help="percent of the magnitudes kept by --method percentile (default: 99.99)",
    )
    add_exclude(parser)


def add_exclude(parser: argparse.ArgumentParser) -> None:
    """Take the nodes that stay unquantized."""
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="NODE",
        help="name or shell pattern of a node that stays unquantized; may be given again",
    )


def add_build(parser: argparse.ArgumentParser) -> None:
    """Take the options of building."""
    parser.add_argument(
        "--flavor",
        choices=("tensorrt", "tensorrt_rtx"),
        help="library to build with (default: tensorrt where it and a GPU are, else tensorrt_rtx)",
    )
    parser.add_argument("--max-batch", type=int, default=8, metavar="N", help="largest batch (default: 8)")
    parser.add_argument(
        "--optimization-level", type=int, metavar="0-5", help="effort of the builder (library's default: 3)"
    )


def make_console() -> Console:
    """Return the console that commands print to."""
    from rich.console import Console

    return Console(highlight=False)


def command_line() -> str:
    """Return the command as it was typed, for the record."""
    return shlex.join(["trtforge", *sys.argv[1:]])
