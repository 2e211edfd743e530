"""Options that several commands share, and what they print."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx
    from rich.console import Console

    from trtforge.profiles import OptimizationProfile

DEFAULT_MAX_BATCH = 8
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


def add_collect_on(parser: argparse.ArgumentParser) -> None:
    """Take the place where activations are counted."""
    parser.add_argument(
        "--collect-on",
        choices=("cpu", "gpu"),
        default="cpu",
        help="where clips run to be counted: ONNX Runtime on the CPU, or TensorRT on a GPU (default: cpu)",
    )


def add_activation_memory(parser: argparse.ArgumentParser) -> None:
    """Take the bound on what calibration holds of a network's activations."""
    parser.add_argument(
        "--activation-memory",
        type=parse_size,
        default="400MB",
        metavar="SIZE",
        help="activations of one clip held at once, such as 400MB or 1.5GiB (default: 400MB)",
    )


def parse_size(text: str) -> int:
    """Return the bytes that an option's text says, such as ``400MB`` or ``1.5GiB``."""
    from trtforge.errors import ConfigError
    from trtforge.units import parse_bytes

    try:
        return parse_bytes(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(error.message) from None


def add_keep_float(parser: argparse.ArgumentParser) -> None:
    """Take what stays in floating point by its place, and in FP32 by its name."""
    parser.add_argument(
        "--keep-float",
        choices=("none", "first", "last", "first_last"),
        default="none",
        help="layers at the ends that stay unquantized (default: none); for others see --exclude",
    )
    add_keep_float32(parser)


def add_keep_float32(parser: argparse.ArgumentParser) -> None:
    """Take what stays in FP32 by its name."""
    parser.add_argument(
        "--keep-float32",
        action="append",
        default=[],
        metavar="NODE",
        help="name or shell pattern of a node that stays FP32 where the rest is 16-bit; may be given again",
    )


def add_observations(parser: argparse.ArgumentParser) -> None:
    """Take the histograms that tell which tensors FP16 cannot hold."""
    parser.add_argument(
        "--observations",
        metavar="NPZ",
        help="what trtforge calibrate --save-observations --observe all wrote: nodes around tensors that "
        "overflow or vanish in FP16 stay FP32",
    )


def add_attention(parser: argparse.ArgumentParser) -> None:
    """Take what becomes of products of two activations."""
    parser.add_argument(
        "--attention",
        choices=("float", "int8"),
        default="float",
        help="precision of products of two activations (default: float); calibrate and quantize alike",
    )


def add_assignment(parser: argparse.ArgumentParser) -> None:
    """Take the layers that a search left in floating point."""
    parser.add_argument(
        "--assignment",
        metavar="JSON",
        help="the assignment.json of trtforge search: its layers in floating point stay unquantized",
    )


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
    parser.add_argument(
        "--max-batch",
        type=int,
        default=DEFAULT_MAX_BATCH,
        metavar="N",
        help=f"largest batch (default: {DEFAULT_MAX_BATCH})",
    )
    parser.add_argument(
        "--store",
        action="store_true",
        help="keep the engine, and do not build what was built before; see trtforge cache",
    )


def add_frames(container: argparse._ActionsContainer) -> None:
    """Take the lengths to build for."""
    container.add_argument(
        "--frames", type=int, nargs=2, metavar=("MIN", "MAX"), help="shortest and longest input, in frames"
    )


def add_profiles(container: argparse._ActionsContainer) -> None:
    """Take a plan of profiles."""
    container.add_argument(
        "--profiles",
        metavar="JSON",
        help="profiles that plan-profiles wrote; their batch sizes hold, and not --max-batch",
    )


def planned_profiles(args: argparse.Namespace, model: onnx.ModelProto) -> tuple[OptimizationProfile, ...]:
    """Make the profiles that ``--frames`` or ``--profiles`` ask for; none without either.

    Raises
    ------
    ConfigError : the shortest length is above the longest, or the network takes one other length alone.
    ProfileError : the file is no plan.
    """
    from trtforge.errors import ConfigError
    from trtforge.model import model_inputs
    from trtforge.profiles import ProfilePlan, plan_profiles

    if args.profiles:
        return ProfilePlan.load(args.profiles).profiles(model_inputs(model))
    if not args.frames:
        return ()
    frames: Sequence[int] = args.frames
    if frames[0] > frames[1]:
        raise ConfigError(f"--frames wants MIN and MAX in this order, got {frames[0]} and {frames[1]}")
    specs = model_inputs(model)
    fixed = {size for spec in specs for size in spec.shape[1:]}
    if all(isinstance(size, int) for size in fixed) and not fixed.issuperset(frames):
        raise ConfigError(
            f"--frames {frames[0]} {frames[1]} asks for lengths that the network does not take: "
            + "; ".join(map(str, specs)),
            hint="leave --frames out, or export the network with a dynamic time axis",
        )
    return plan_profiles(specs, list(frames), max_batch=args.max_batch)


def check_writable(path: str) -> None:
    """Find out whether a file can be written before the work that fills it; its folder is made.

    Raises
    ------
    OSError : it cannot.
    """
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def make_console() -> Console:
    """Return the console that commands print to."""
    from rich.console import Console

    return Console(highlight=False)


def print_path(console: Console, what: str, path: str | Path) -> None:
    """Say which file was written; brackets in its name are no markup."""
    from rich.markup import escape

    console.print(f"[bold]{what}[/]  {escape(str(path))}", soft_wrap=True)


def command_line() -> str:
    """Return the command as it was typed, for the record."""
    return shlex.join(["trtforge", *sys.argv[1:]])
