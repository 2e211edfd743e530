"""``trtforge lint``: what of a quantized network does not suit TensorRT, and what to do about it."""

from __future__ import annotations

import argparse

from trtforge.cli._options import make_console

OPTIONS = {"library": ("--for",), "version": ("--for",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a network with Q/DQ pairs, an .onnx file")
    parser.add_argument(
        "--for",
        dest="library",
        nargs=2,
        metavar=("LIBRARY", "VERSION"),
        help="what it is meant for, such as tensorrt 8.6; it need not be installed (default: what is)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the findings; return 1 where one is an error."""
    from rich.markup import escape

    from trtforge.model import load_model
    from trtforge.pipeline.linting import library_for, lint_for

    flavor = library_for(*(args.library or (None, None)))
    findings = lint_for(load_model(args.model), flavor)
    console = make_console()
    colours = {"error": "bold red", "warning": "yellow"}
    for finding in findings:
        head = f"[{colours[finding.severity]}]{finding.severity}[/] [dim]{finding.rule}[/]"
        console.print(f"{head}  {escape(finding.message)}", soft_wrap=True)
        console.print(f"  [bold]remedy[/] {escape(finding.remedy)}", soft_wrap=True)
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = len(findings) - errors
    console.print(f"{errors} errors, {warnings} warnings for {flavor}")
    return 1 if errors else 0
