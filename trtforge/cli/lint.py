"""``trtforge lint``: what of a quantized network does not suit TensorRT, and what to do about it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trtforge.cli._options import make_console

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trtforge.graph.linting import LintFinding

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
    for first, *others in _alike(findings):
        head = f"[{colours[first.severity]}]{first.severity}[/] [dim]{first.rule}[/]"
        console.print(f"{head}  {escape(first.message)}", soft_wrap=True)
        if others:
            names = ", ".join(repr(finding.node) for finding in others)
            console.print(f"  [bold]and[/] {len(others)} more like it: {escape(names)}", soft_wrap=True)
        console.print(f"  [bold]remedy[/] {escape(_with_options(first))}", soft_wrap=True)
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = len(findings) - errors
    console.print(f"{errors} errors, {warnings} warnings for {flavor}")
    return 1 if errors else 0


def _alike(findings: Iterable[LintFinding]) -> list[list[LintFinding]]:
    """Put findings together that differ by nothing but the node."""
    groups: dict[tuple[str, ...], list[LintFinding]] = {}
    for finding in findings:
        said = finding.message.replace(repr(finding.node), "")
        groups.setdefault((finding.severity, finding.rule, said, finding.remedy), []).append(finding)
    return list(groups.values())


def _with_options(finding: LintFinding) -> str:
    """Return the remedy with the options of ``trtforge quantize`` in place of arguments in Python."""
    remedy = finding.remedy
    for argument, value in finding.settings:
        remedy = remedy.replace(f'{argument}="{value}"', f"--{argument.replace('_', '-')} {value}")
    return remedy
