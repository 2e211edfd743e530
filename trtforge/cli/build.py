"""``trtforge build``: an engine from a network as it is."""

from __future__ import annotations

import argparse

from trtforge.cli._build_options import OPTIONS as BUILDER_OPTIONS
from trtforge.cli._build_options import add_builder_options, build_config
from trtforge.cli._options import (
    add_build,
    add_frames,
    add_model,
    add_observations,
    add_profiles,
    make_console,
    max_batch_of,
    planned_profiles,
    print_path,
)
from trtforge.cli._outputs import check_outputs
from trtforge.precisions import PRECISIONS

OPTIONS = {
    **BUILDER_OPTIONS,
    "frame_counts": ("--frames", "--clips"),
    "profiles": ("--frames", "--clips", "--profiles"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add_model(parser)
    parser.add_argument(
        "-o", "--output", metavar="ENGINE", required=True, help="NAME.engine; NAME.engine.json beside it"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="what the engine must run in (default: what the network holds)",
    )
    group = parser.add_argument_group("lengths to build for", "needed where the time axis is dynamic")
    lengths = group.add_mutually_exclusive_group()
    lengths.add_argument("--clips", metavar="DIR", help="a clip set whose lengths are typical")
    add_frames(lengths)
    add_profiles(lengths)
    parser.add_argument(
        "--scales", metavar="SCALES", help="the ranges of a quantized network, for the record"
    )
    parser.add_argument(
        "--unquantized",
        metavar="MODEL",
        help="the FP32 network that MODEL was quantized from: with --scales, TensorRT 8.6 and 10 are given "
        "it where they cannot build MODEL",
    )
    add_observations(parser)
    add_build(parser)
    add_builder_options(parser)


def run(args: argparse.Namespace) -> None:
    """Build, write the engine."""
    from trtforge._files import save_or_keep
    from trtforge._progress import Stages
    from trtforge.audio import ClipSet, features_for_model
    from trtforge.calibration import Observations
    from trtforge.engine import EngineStore, build
    from trtforge.engine.attempts import describe_way
    from trtforge.model import load_model
    from trtforge.nvidia.generations import cannot_run_on
    from trtforge.pipeline import plan_for_clips
    from trtforge.scales import Scales

    inputs = {
        "MODEL": args.model,
        "--scales": args.scales,
        "--observations": args.observations,
        "--unquantized": args.unquantized,
    }
    check_outputs({**inputs, "--output": args.output}, read=inputs)
    console = make_console()
    model = load_model(args.model)
    profiles = planned_profiles(args, model)
    if args.clips:
        clips = ClipSet.load(args.clips, verify=False)
        profiles = plan_for_clips(model, features_for_model(model), [clips], max_batch=max_batch_of(args))
    store = EngineStore() if args.store else None
    with Stages(console).stage("build") as stage:
        engine = build(
            model,
            profiles=profiles,
            config=build_config(args, precision=args.precision),
            flavor=args.flavor,
            scales=Scales.load(args.scales) if args.scales else None,
            observations=Observations.load(args.observations) if args.observations else None,
            store=store,
            unquantized=args.unquantized,
            on_progress=stage,
        )
        way = describe_way(engine.manifest)
        kept = ", from the store" if store and store.hits else ""
        proof = engine.manifest.proof
        parts = [f"{engine}{kept}", str(proof) if proof and proof.layers else "", way or ""]
        stage.note("; ".join(filter(None, parts)))
    save_or_keep(engine.save, args.output)
    if engine.manifest.library == "tensorrt_rtx":
        refused = cannot_run_on(engine.manifest.compute_capabilities)
        console.print(f"[bold]not on[/]  {', '.join(refused)}", soft_wrap=True)
    print_path(console, "engine", args.output)
