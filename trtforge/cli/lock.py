"""``trtforge lock``: write down what engines were built and verified with, and check it in CI."""

from __future__ import annotations

import argparse

from trtforge.cli._options import make_console

_DEFAULT = "trtforge.lock.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help="engines to lock")
    parser.add_argument("-o", "--output", metavar="JSON", help=f"default: {_DEFAULT}")
    parser.add_argument(
        "--file",
        action="append",
        default=[],
        metavar="FILE",
        help="another file to lock: the network, scales, the report; may be given again",
    )
    parser.add_argument("--constraints", metavar="TXT", help="also write the packages as pip constraints")
    parser.add_argument(
        "--check",
        nargs="?",
        const=_DEFAULT,
        metavar="JSON",
        help=f"compare with a lock (default: {_DEFAULT})",
    )
    parser.add_argument(
        "--require-gpu", action="store_true", help="with --check: a machine without a GPU fails"
    )


def run(args: argparse.Namespace) -> int:
    """Write a lock, or check one; return 1 where something drifted."""
    from trtforge.errors import ConfigError

    if bool(args.check) == bool(args.engines):
        raise ConfigError(
            "give either engines to lock, or --check alone",
            hint="trtforge lock asr.engine --file asr.onnx, or trtforge lock --check",
        )
    if args.check and (args.output or args.file or args.constraints):
        raise ConfigError(
            "--output, --file and --constraints write a lock, and go without --check",
            hint="trtforge lock --check JSON checks another lock than the default one",
        )
    if args.require_gpu and not args.check:
        raise ConfigError("--require-gpu checks a lock, and goes with --check")
    return _check(args.check, require_gpu=args.require_gpu) if args.check else _write(args)


def _write(args: argparse.Namespace) -> int:
    from pathlib import Path

    from rich.markup import escape

    from trtforge._files import write_text
    from trtforge.locking import make_lock

    output = args.output or _DEFAULT
    lock = make_lock(args.engines, files=args.file, folder=Path(output).parent)
    lock.save(output)
    if args.constraints:
        write_text(args.constraints, lock.constraints())
    console = make_console()
    console.print(f"[bold]wrote[/]  {escape(output)}", soft_wrap=True)
    console.print(
        f"{len(lock.engines)} engines, {len(lock.files)} files, {len(lock.packages)} packages, "
        f"{lock.gpu or 'no GPU'}",
        soft_wrap=True,
    )
    return 0


def _check(path: str, *, require_gpu: bool) -> int:
    from pathlib import Path

    from rich.markup import escape

    from trtforge.locking import Lock, check_lock

    console = make_console()
    lock = Lock.load(path)
    drifts = check_lock(lock, Path(path).parent, require_gpu=require_gpu)
    for drift in drifts:
        mark = "[bold red]drift[/]" if drift.is_fault else "[yellow]note [/]"
        console.print(
            f"{mark} [dim]{drift.kind}[/] {escape(drift.what)}: locked {escape(drift.locked)}, "
            f"found {escape(drift.found)}",
            soft_wrap=True,
        )
        console.print(f"      {escape(drift.remedy)}", soft_wrap=not console.is_terminal)
    faults = sum(drift.is_fault for drift in drifts)
    checked = f"{len(lock.engines)} engines, {len(lock.files)} files, {len(lock.packages)} packages"
    console.print(f"{checked}: {faults} drifted" if faults else f"{checked}: as locked")
    return 1 if faults else 0
