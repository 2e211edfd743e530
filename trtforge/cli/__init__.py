"""The ``trtforge`` command: one module for each subcommand, imported when it is asked for."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

    from trtforge.errors import TrtforgeError

_PACKAGE = Path(__file__).parents[1]

COMMANDS = {
    "compile": "clips and a network in; a calibrated engine and its report out",
    "annotate": "state in a network how its input is made and its output is read",
    "calibrate": "observe a network on clips and choose INT8 ranges",
    "audit": "say what a calibration set lacks and whether it is large enough",
    "smooth": "move outlier channels of a transformer into its weights, before it is calibrated",
    "plan-profiles": "choose optimization profiles for observed lengths",
    "search": "find which layers INT8 costs too much, and the assignment that a budget allows",
    "quantize": "write the Q/DQ network that the ranges describe",
    "lower": "type a network in FP16 or BF16",
    "lint": "explain what of a quantized network does not suit TensorRT",
    "build": "build a TensorRT engine",
    "transcribe": "recordings of any length to text with the times of words",
    "translate": "sentences of a text file to another language, terms of a glossary kept",
    "evaluate": "word error rates of networks and engines on a clip set",
    "bench": "time, memory, energy and accuracy of networks in PyTorch, ONNX Runtime and TensorRT",
    "check": "whether a candidate got worse than an accepted baseline",
    "serve": "take requests over HTTP: a queue, deadlines, metrics, a lighter model under load",
    "monitoring": "write the dashboard and the alert rules for what serve reports",
    "cache": "list, verify and clear the engines that builds keep",
    "export-triton": "write and check a model repository for Triton Inference Server",
    "transcribe-many": "transcribe a folder or a clip set over all GPUs or cores of a Ray cluster",
    "lock": "write down what engines were built and verified with, or check it",
    "sign": "sign an engine with an Ed25519 key",
    "inspect": "explain an engine, a scales file, a network or a report",
    "doctor": "say what this machine has and can do",
}


def make_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Build the parser; only the module of ``command`` is imported, or of every one where it is None."""
    import trtforge

    parser = argparse.ArgumentParser(
        prog="trtforge", description="Speech networks into calibrated TensorRT engines, with proof."
    )
    parser.add_argument("--version", action="version", version=f"trtforge {trtforge.__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + "."
        )
        if command in (name, None):
            module = importlib.import_module(f"trtforge.cli.{name.replace('-', '_')}")
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run, options=getattr(module, "OPTIONS", {}))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    0 on success, 1 where a stated requirement is not met, 2 where the request or its input is wrong, 3 where
    a check has not enough to tell, 130 when interrupted.
    """
    from rich.console import Console

    from trtforge.errors import AccuracyError, PrecisionError, TrtforgeError

    words = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in words if word in COMMANDS), "")
    args = make_parser(command).parse_args(words)
    errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    try:
        with _told_warnings(errors):
            status: int | None = args.run(args)
    except (AccuracyError, PrecisionError) as error:
        _explain(errors, error, args)
        return 1
    except TrtforgeError as error:
        _explain(errors, error, args)
        return 2
    except OSError as error:
        _explain(errors, TrtforgeError(f"a file cannot be read or written: {error}"), args)
        return 2
    except KeyboardInterrupt:
        errors.print("[yellow]interrupted[/]; every file is whole or was not begun")
        _leave_at_once_where_a_library_works()
        return 130
    return status or 0


@contextlib.contextmanager
def _told_warnings(console: Console) -> Iterator[None]:
    """Print what trtforge warns of as a line for people; warnings of other packages stay as they are."""
    from rich.markup import escape

    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if category is RuntimeWarning and Path(filename).is_relative_to(_PACKAGE):
                console.print(f"[yellow]note: {escape(str(message))}[/]")
            else:
                others(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def _leave_at_once_where_a_library_works() -> None:
    """End the process where a library that cannot be stopped still builds: unloading it would crash."""
    interruption = sys.modules.get("trtforge.nvidia.interruption")
    if interruption is not None and interruption.has_abandoned_work():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)


def options_of(args: argparse.Namespace, setting: str) -> tuple[str, ...]:
    """Return the options by which the command takes an argument of the library; none where it has no such.

    An option is spelled like the argument, unless the command's module says otherwise in ``OPTIONS``.
    """
    if setting in args.options:
        return tuple(args.options[setting])
    return (f"--{setting.replace('_', '-')}",) if setting in vars(args) else ()


def _explain(console: Console, error: TrtforgeError, args: argparse.Namespace) -> None:
    from rich.markup import escape

    console.print(f"[bold red]error[/] [dim]{error.code}[/]  {escape(error.message)}")
    if error.hint:
        console.print(f"[bold]hint[/]   {escape(error.hint)}")
    for setting in error.settings:
        options = " or ".join(options_of(args, setting)) or "no option, Python alone"
        console.print(f"[bold]option[/] {setting}: {escape(options)}")


if __name__ == "__main__":
    sys.exit(main())
