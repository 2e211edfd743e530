"""``trtforge build``: an engine from a network as it is."""

from __future__ import annotations

import argparse

from trtforge.cli._options import add_build, add_model, make_console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add_model(parser)
    parser.add_argument(
        "-o", "--output", metavar="ENGINE", required=True, help="NAME.engine; NAME.engine.json beside it"
    )
    parser.add_argument(
        "--precision",
        choices=("int8", "float16", "float32"),
        help="what the engine must run in (default: what the network holds)",
    )
    lengths = parser.add_argument_group(
        "lengths to build for", "needed where the network's time axis is dynamic"
    )
    lengths.add_argument("--clips", metavar="DIR", help="a clip set whose lengths are typical")
    lengths.add_argument(
        "--frames", type=int, nargs=2, metavar=("MIN", "MAX"), help="shortest and longest input, in frames"
    )
    add_build(parser)


def run(args: argparse.Namespace) -> None:
    """Build, write the engine."""
    from trtforge._progress import Stages
    from trtforge.audio import ClipSet, features_for_model
    from trtforge.engine import BuildConfig, build
    from trtforge.model import load_model, model_inputs
    from trtforge.profiles import plan_profiles

    console = make_console()
    model = load_model(args.model)
    frames = list(args.frames or [])
    if args.clips:
        features = features_for_model(model)
        frames += [
            features.num_frames(int(seconds * features.sampling_rate))
            for seconds in ClipSet.load(args.clips, verify=False).durations()
        ]
    profiles = (
        plan_profiles(model_inputs(model), frames, max_batch=args.max_batch, multiple_of=8) if frames else ()
    )
    with Stages(console).stage("build") as stage:
        engine = build(
            model,
            profiles=profiles,
            config=BuildConfig(precision=args.precision, optimization_level=args.optimization_level),
            flavor=args.flavor,
        )
        stage.note(str(engine))
    engine.save(args.output)
    console.print(f"[bold]engine[/]  {args.output}", soft_wrap=True)
