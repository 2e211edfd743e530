"""Options that several commands share, and what they print."""

from __future__ import annotations

import argparse
import errno
import shlex
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx
    from rich.console import Console

    from trtforge.model import TensorSpec
    from trtforge.profiles import OptimizationProfile

DEFAULT_MAX_BATCH = 8
DEFAULT_PERCENTILE = 99.99
METHODS = ("entropy", "percentile", "mse", "max")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Take the network as the first argument."""
    parser.add_argument("model", metavar="MODEL", help="the network, an .onnx file in FP32")


def add_calibration(parser: argparse.ArgumentParser, *, auto: bool = True) -> None:
    """Take the options of choosing INT8 ranges; ``auto`` where the network is at hand to try them."""
    if auto:
        parser.add_argument(
            "--method",
            choices=("auto", *METHODS),
            default="auto",
            help="how ranges are chosen (default: entropy, or what the output asks for where that is poor)",
        )
    else:
        parser.add_argument("--method", choices=METHODS, default="entropy", help="how ranges are chosen")
    parser.add_argument(
        "--percentile",
        type=float,
        metavar="P",
        help="percent of the magnitudes kept by --method percentile (default: 99.99)",
    )
    add_exclude(parser)


def chosen_percentile(args: argparse.Namespace) -> float:
    """Return what ``--percentile`` says.

    Raises
    ------
    ConfigError : it is given beside a method that takes none.
    """
    from trtforge.errors import ConfigError

    if args.percentile is None:
        return DEFAULT_PERCENTILE
    if args.method != "percentile":
        raise ConfigError(
            f"--percentile {args.percentile:g} is for --method percentile, and the method is {args.method}",
            hint="leave it out, or say --method percentile",
            settings=("percentile", "method"),
        )
    return float(args.percentile)


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
        help="profiles that plan-profiles wrote, batch sizes included",
    )


def planned_profiles(args: argparse.Namespace, model: onnx.ModelProto) -> tuple[OptimizationProfile, ...]:
    """Make the profiles that ``--frames``, ``--profiles`` or ``--max-batch`` alone ask for, if any do.

    Raises
    ------
    ConfigError : the shortest length is above the longest, or an option asks for what the network fixes.
    ProfileError : the file is no plan.
    """
    from trtforge.errors import ConfigError
    from trtforge.model import model_inputs
    from trtforge.profiles import ProfilePlan, plan_profiles

    inputs = model_inputs(model)
    _check_dynamic(args, inputs)
    if args.profiles:
        return ProfilePlan.load(args.profiles).profiles(inputs)
    if not args.frames:
        # Where the batch alone is dynamic, no length need be known.
        return () if _has_dynamic_time(inputs) else plan_profiles(inputs, [1], max_batch=max_batch_of(args))
    frames: Sequence[int] = args.frames
    if frames[0] > frames[1]:
        raise ConfigError(f"--frames wants MIN and MAX in this order, got {frames[0]} and {frames[1]}")
    return plan_profiles(inputs, list(frames), max_batch=max_batch_of(args))


def max_batch_of(args: argparse.Namespace) -> int:
    """Return the largest batch that was asked for, or the default."""
    return DEFAULT_MAX_BATCH if args.max_batch is None else int(args.max_batch)


def _check_dynamic(args: argparse.Namespace, inputs: Sequence[TensorSpec]) -> None:
    """Raise ConfigError where an option asks for sizes that the network, or another option, decides."""
    from trtforge.errors import ConfigError

    told = "; ".join(map(str, inputs))
    has_batch = any(isinstance(spec.shape[0], str) for spec in inputs if spec.shape)
    if args.max_batch is not None and args.profiles:
        raise ConfigError(
            "--max-batch has no effect: the batch sizes are those of --profiles",
            hint="leave it out, or plan again with plan-profiles --batch-sizes",
            settings=("max_batch", "profiles"),
        )
    if args.max_batch is not None and not has_batch:
        raise ConfigError(
            f"--max-batch {args.max_batch} has no effect: the network fixes its batch ({told})",
            hint="leave it out, or export the network with a dynamic first axis",
            settings=("max_batch",),
        )
    if _has_dynamic_time(inputs) or _is_fixed_length(args.frames, inputs):
        return
    for option in ("frames", "profiles", "clips"):
        if getattr(args, option, None):
            raise ConfigError(
                f"--{option} has no effect: the network fixes every length ({told})",
                hint="leave it out, or export the network with a dynamic axis of time",
                settings=(option,),
            )


def _is_fixed_length(frames: Sequence[int] | None, inputs: Sequence[TensorSpec]) -> bool:
    """Say whether the lengths that were asked for are the one that the network fixes."""
    return len(set(frames or ())) == 1 and any(
        size in spec.shape[1:] for size in frames or () for spec in inputs
    )


def _has_dynamic_time(inputs: Sequence[TensorSpec]) -> bool:
    return any(isinstance(size, str) for spec in inputs for size in spec.shape[1:])


def check_writable(path: str) -> None:
    """Find out whether a file can be written before the work that fills it; its folder is made.

    Raises
    ------
    OSError : it cannot.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(errno.EISDIR, "a file is to be written, and this is a folder", path)
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def make_console() -> Console:
    """Return the console that commands print to."""
    from rich.console import Console

    return Console(highlight=False, emoji=False)


def print_path(console: Console, what: str, path: str | Path) -> None:
    """Say which file was written; brackets in its name are no markup."""
    from rich.markup import escape

    console.print(f"[bold]{what}[/]  {escape(str(path))}", soft_wrap=True)


def print_notes(console: Console, notes: Iterable[str]) -> None:
    """Print what a reader of figures must know beside them; without a terminal, each note is one line."""
    from rich.text import Text

    for note in notes:
        console.print(Text(f"note: {note}", style="yellow"), soft_wrap=not console.is_terminal)


def command_line() -> str:
    """Return the command as it was typed, for the record."""
    return shlex.join(["trtforge", *sys.argv[1:]])
