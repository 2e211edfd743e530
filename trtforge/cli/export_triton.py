"""``trtforge export-triton``: a model repository for Triton, written and checked without a server."""

from __future__ import annotations

import argparse

from trtforge.cli._options import make_console

OPTIONS = {"version": ("--model-version",), "profiles": ("--profile",), "gpus": ("--gpu",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "engines", nargs="*", metavar="ENGINE", help="engines of one network, each for other GPUs"
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="the model repository; made where there is none"
    )
    parser.add_argument("--check", metavar="DIR", help="check a model repository instead, and change nothing")
    parser.add_argument("--name", help="of the model (default: the first engine's)")
    parser.add_argument("--model-version", type=int, metavar="N", help="default: one above the newest")
    parser.add_argument("--max-batch-size", type=int, metavar="N", help="default: what all profiles accept")
    parser.add_argument(
        "--preferred-batch-size",
        type=int,
        action="append",
        default=[],
        metavar="N",
        help="may be given again",
    )
    parser.add_argument(
        "--max-queue-delay-us",
        type=int,
        default=2_000,
        metavar="US",
        help="longest wait for a fuller batch, in microseconds (default: 2000)",
    )
    parser.add_argument(
        "--queue-timeout-us",
        type=int,
        default=500_000,
        metavar="US",
        help="wait after which a request is refused, in microseconds (default: 500000)",
    )
    parser.add_argument(
        "--max-queue-size", type=int, default=64, metavar="N", help="requests that may wait (default: 64)"
    )
    parser.add_argument(
        "--instances", type=int, default=1, metavar="N", help="execution contexts for each GPU (default: 1)"
    )
    parser.add_argument(
        "--gpu", type=int, action="append", default=[], metavar="N", help="serve on this GPU; default: on all"
    )
    parser.add_argument(
        "--profile",
        type=int,
        action="append",
        default=[],
        metavar="N",
        help="serve this profile; default: all",
    )
    parser.add_argument(
        "--num-versions", type=int, default=1, metavar="N", help="newest versions kept loaded (default: 1)"
    )
    parser.add_argument(
        "--cuda-graphs", action="store_true", help="record a CUDA graph of each warm-up shape"
    )


def run(args: argparse.Namespace) -> int:
    """Write the model and check it, or check a repository; return 1 where something is found."""
    from trtforge.errors import ConfigError

    if bool(args.check) == bool(args.engines) or bool(args.engines) != bool(args.output):
        raise ConfigError(
            "give either engines and --output, or --check alone",
            hint="trtforge export-triton asr.engine -o models, or trtforge export-triton --check models",
        )
    return _check(args.check) if args.check else _export(args)


def _export(args: argparse.Namespace) -> int:
    from pathlib import Path

    from rich.markup import escape

    from trtforge.serving.triton import TritonSettings, export_model

    settings = TritonSettings(
        max_batch_size=args.max_batch_size,
        preferred_batch_sizes=tuple(args.preferred_batch_size),
        max_queue_delay_us=args.max_queue_delay_us,
        queue_timeout_us=args.queue_timeout_us,
        max_queue_size=args.max_queue_size,
        instances=args.instances,
        gpus=tuple(args.gpu),
        profiles=tuple(args.profile),
        num_versions=args.num_versions,
        cuda_graphs=args.cuda_graphs,
    )
    name = args.name or Path(args.engines[0]).name.split(".")[0]
    model = export_model(args.engines, args.output, name=name, version=args.model_version, settings=settings)
    console = make_console()
    console.print(f"[bold]wrote[/]  {escape(str(model))}", soft_wrap=True)
    return _check(args.output)


def _check(folder: str) -> int:
    from rich.markup import escape

    from trtforge.serving.triton import check_repository

    console = make_console()
    checked = check_repository(folder)
    for name, findings in checked.items():
        console.print(f"[bold red]✗[/] {escape(name)}" if findings else f"[green]✓[/] {escape(name)}")
        for finding in findings:
            console.print(
                f"  [dim]{finding.source} {finding.rule}[/]  {escape(finding.reason)}", soft_wrap=True
            )
    bad = sum(bool(findings) for findings in checked.values())
    console.print(f"{len(checked) - bad} of {len(checked)} models can be served")
    return 1 if bad else 0
