"""``trtforge audit``: what a calibration set lacks, and whether it is large enough."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from trtforge.cli._options import (
    DEFAULT_PERCENTILE,
    add_activation_memory,
    add_calibration,
    add_model,
    check_writable,
    command_line,
    make_console,
    print_path,
)

if TYPE_CHECKING:
    import onnx

    from trtforge.calibration import AuditReport


OPTIONS = {
    "activation_bytes": ("--activation-memory",),
    "clips": ("--calibration-set",),
    "max_clipped_share": ("--max-clipped",),
    "num_seeds": ("--seeds",),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add_model(parser)
    parser.add_argument("--calibration-set", metavar="DIR", required=True, help="the clips to judge")
    parser.add_argument("-o", "--output", metavar="OUT", help="folder for audit.json and audit.html")
    add_calibration(parser, auto=False)
    add_activation_memory(parser)
    parser.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="orders of each kind to take clips in (default: 5)"
    )
    limits = parser.add_argument_group("limits", "what is worth a mention")
    limits.add_argument(
        "--min-clips",
        type=int,
        default=2,
        metavar="N",
        help="clips that two strata should share (default: 2)",
    )
    limits.add_argument(
        "--max-change",
        type=float,
        default=10.0,
        metavar="PERCENT",
        help="change of a threshold that one stratum may make (default: 10)",
    )
    limits.add_argument(
        "--max-clipped",
        type=float,
        default=0.1,
        metavar="PERCENT",
        help="values of one tensor that may be clipped in a clip (default: 0.1)",
    )


def run(args: argparse.Namespace) -> None:
    """Audit, print the tables, write the files."""
    from pathlib import Path

    from trtforge._files import write_json, write_text
    from trtforge.audio import ClipSet
    from trtforge.model import load_model
    from trtforge.pipeline import audit
    from trtforge.report import render_html

    if args.output:
        check_writable(str(Path(args.output) / "audit.html"))
    console = make_console()
    model = load_model(args.model)
    clips = ClipSet.load(args.calibration_set)
    report = audit(
        model,
        clips,
        method=args.method,
        percentile=DEFAULT_PERCENTILE if args.percentile is None else args.percentile,
        exclude=args.exclude,
        activation_bytes=args.activation_memory,
        num_seeds=args.seeds,
        min_clips=args.min_clips,
        max_change=args.max_change / 100,
        max_clipped_share=args.max_clipped / 100,
        console=console,
    )
    console.print(report)
    if args.output:
        folder = Path(args.output)
        page = render_html(page_values(model, Path(args.model).stem, clips.name, report))
        write_json(folder / "audit.json", report.to_json())
        write_text(folder / "audit.html", page)
        print_path(console, "report", folder / "audit.html")


def page_values(model: onnx.ModelProto, name: str, clip_set: str, report: AuditReport) -> dict[str, Any]:
    """Return what `trtforge.report.render_html` makes the page of."""
    from trtforge.graph import describe
    from trtforge.pipeline.reporting import environment
    from trtforge.report import FORMAT

    summary = describe(model)
    return {
        "format": FORMAT,
        "title": f"Audit of {clip_set}",
        "model": {
            "name": name,
            "sha256": report.model_sha256,
            "num_parameters": summary.num_parameters,
            "opset": summary.opset,
            "inputs": [str(spec) for spec in summary.inputs],
            "outputs": [str(spec) for spec in summary.outputs],
        },
        "audit": report.to_json(),
        "environment": environment(),
        "command": command_line(),
    }
