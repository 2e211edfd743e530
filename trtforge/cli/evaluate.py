"""``trtforge evaluate``: word error rates of networks and engines, side by side."""

from __future__ import annotations

import argparse

from trtforge.cli._options import check_writable, make_console, print_notes, print_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("reference", metavar="REFERENCE", help="the network to compare with, an .onnx file")
    parser.add_argument(
        "candidates", metavar="CANDIDATE", nargs="*", help="other networks, or engines (NAME.engine)"
    )
    parser.add_argument("--clips", metavar="DIR", required=True, help="clips with texts")
    parser.add_argument("-o", "--output", metavar="JSON", help="also write all that was found")


def run(args: argparse.Namespace) -> None:
    """Evaluate, print the tables."""
    from pathlib import Path

    from trtforge._progress import Stages
    from trtforge.audio import ClipSet
    from trtforge.errors import ConfigError
    from trtforge.pipeline import evaluate
    from trtforge.pipeline.remarks import remark_quiet
    from trtforge.report.formatting import plural

    paths = [args.reference, *args.candidates]
    names = [Path(path).name for path in paths]
    if len(set(names)) < len(names):
        names = paths
    if len(set(names)) < len(names):
        raise ConfigError("a file was given twice; each can be evaluated once")
    if args.output:
        check_writable(args.output)
    console = make_console()
    with Stages(console).stage("evaluate") as stage:
        clips = ClipSet.load(args.clips)
        report = evaluate(dict(zip(names, paths, strict=True)), clips, on_progress=stage)
        stage.note(plural(report.num_clips, "clip"))
    console.print(report)
    print_notes(console, remark_quiet(report.quiet, report.num_clips, "evaluated"))
    if args.output:
        report.save(args.output)
        print_path(console, "written", args.output)
