"""``trtforge transcribe-many``: transcripts of many clips, over all GPUs or cores of a Ray cluster."""

from __future__ import annotations

import argparse

from trtforge.cli._options import add_model, make_console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add_model(parser)
    parser.add_argument("clips", metavar="DIR", help="a clip set, or any folder of audio files")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for results.jsonl")
    parser.add_argument("--engine", metavar="ENGINE", help="engine of that network, run on GPUs")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="clips that run together")
    parser.add_argument("--min-actors", type=int, default=1, metavar="N", help="processes at least")
    parser.add_argument("--max-actors", type=int, metavar="N", help="default: one for each GPU or core")
    parser.add_argument("--num-threads", type=int, default=1, metavar="N", help="of each process on a CPU")
    parser.add_argument("--address", metavar="ADDRESS", help="of a Ray cluster (default: this machine alone)")


def run(args: argparse.Namespace) -> int:
    """Transcribe; return 1 where a clip failed."""
    from rich.markup import escape

    from trtforge._progress import Stages
    from trtforge.serving.ray import ManySettings, list_clips, transcribe_many
    from trtforge.serving.ray.cluster import ray_here

    console = make_console()
    clips = list_clips(args.clips)
    settings = ManySettings(
        batch_size=args.batch_size,
        min_actors=args.min_actors,
        max_actors=args.max_actors,
        num_threads=args.num_threads,
    )
    if args.address:
        ray_here("join a cluster", address=args.address)
    with Stages(console).stage("transcribe") as stage:
        report = transcribe_many(
            clips, args.model, args.output, engine=args.engine, settings=settings, on_progress=stage
        )
        stage.note(str(report))
    console.print(f"[bold]wrote[/]  {escape(args.output)}/results.jsonl", soft_wrap=True)
    return 1 if report.errors else 0
