"""``trtforge monitoring``: a Grafana dashboard, and alert rules and settings for Prometheus."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("--export", metavar="DIR", required=True, help="where to write the files")
    parser.add_argument(
        "--deadline", type=float, default=2.0, metavar="S", help="nothing should wait longer (default: 2)"
    )
    parser.add_argument(
        "--target", default="127.0.0.1:8080", metavar="HOST:PORT", help="the worker (default: 127.0.0.1:8080)"
    )


def run(args: argparse.Namespace) -> None:
    """Write the files, and say what they are for."""
    from pathlib import Path

    from trtforge.cli._options import make_console
    from trtforge.serving.monitoring import export

    console = make_console()
    for path in export(Path(args.export), deadline=args.deadline, target=args.target):
        console.print(f"[bold]written[/]  {path}", soft_wrap=True)
