"""``trtforge smooth``: outlier channels moved into weights, before a network is calibrated."""

from __future__ import annotations

import argparse

from trtforge.cli._options import (
    add_activation_memory,
    add_exclude,
    add_model,
    make_console,
    print_path,
)
from trtforge.cli._outputs import check_outputs

OPTIONS = {"activation_bytes": ("--activation-memory",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add_model(parser)
    parser.add_argument("--calibration-set", metavar="DIR", required=True, help="clips to calibrate on")
    parser.add_argument("-o", "--output", metavar="ONNX", required=True, help="the .onnx file to write")
    parser.add_argument(
        "--alphas", type=float, nargs="+", metavar="A", help="strengths to try (default: 0 to 1 by 0.05)"
    )
    add_exclude(parser)
    add_activation_memory(parser)


def run(args: argparse.Namespace) -> None:
    """Search, write the network, print what was chosen."""
    from rich.markup import escape

    from trtforge._progress import Stages
    from trtforge.audio import ClipSet, features_for_model
    from trtforge.external_data import save_model
    from trtforge.graph.smoothing import ALPHAS
    from trtforge.model import load_model
    from trtforge.pipeline import smooth

    check_outputs({"MODEL": args.model, "--output": args.output}, read={"MODEL"})
    console = make_console()
    model = load_model(args.model)
    clips = ClipSet.load(args.calibration_set)
    with Stages(console).stage("smooth") as stage:
        found = smooth(
            model,
            clips.feeds(features_for_model(model)),
            alphas=ALPHAS if args.alphas is None else args.alphas,
            exclude=args.exclude,
            activation_bytes=args.activation_memory,
            on_progress=stage,
        )
        stage.note(repr(found))
    save_model(found.model, args.output)
    for name, choice in found.choices.items():
        strength = "left as it is" if choice.alpha is None else f"alpha {choice.alpha:g}"
        gain = f"{choice.snr_before_db:.1f} to {choice.snr_after_db:.1f} dB"
        console.print(f"{escape(name)}  {strength}, {gain}", soft_wrap=True)
    print_path(console, "network", args.output)
