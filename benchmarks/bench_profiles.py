"""Show what planned profiles save: padding by way of choosing buckets, planning time, speed on a GPU.

``python -m benchmarks.bench_profiles`` measures what needs no GPU, then writes the JSON, the plot and the
page's tables. ``--gpu`` adds the GPU part to the JSON that is there, ``--redraw`` makes plot and tables anew.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import describe_run
from benchmarks.pages import Publication, to_text
from benchmarks.profiles.page import draw, tables
from benchmarks.profiles.ways import MULTIPLE_OF, WAYS
from benchmarks.profiles.workloads import PARAMETERS, SETS, bundled_frames, podcast_frames
from trtforge._files import write_text
from trtforge.profiles import Workload, buckets_for, plan_buckets

MODULE = "benchmarks.bench_profiles"
FORMAT = "trtforge.bench.profiles/1"
ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/profiles.json"
PLOT = ROOT / "docs/images/profiles.svg"
PAGE = ROOT / "docs/profiles.md"
EVERY, FILLED = "podcasts, cut at every pause", "podcasts, cut at the last pause within 30 s"
MAX_PROFILES = 8
PUBLICATION = Publication(MODULE, FORMAT, RESULT, PAGE, tables, PLOT, draw)
load, fill = PUBLICATION.load, PUBLICATION.fill
_PACKAGES = ("numpy", "tensorrt", "cuda-python")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser().parse_args(given)

    def make(path: Path) -> dict[str, Any]:
        run = describe_run(MODULE, given, packages=_PACKAGES)
        if not args.gpu:
            return {**measure(args.lengths), "run": run}
        from benchmarks.profiles.gpu import measure_gpu

        result = load(path)

        def keep(found: dict[str, Any]) -> None:
            result["gpu"] = {**found, "run": run}
            write_text(path, to_text(result))

        measure_gpu(
            podcast_frames(args.requests, filled=False),
            workload=EVERY,
            max_profiles=args.max_profiles,
            timing_cache=args.timing_cache,
            note=lambda text: print(text, flush=True),
            keep=keep,
        )
        return result

    return PUBLICATION.run(args, make)


def measure(num_lengths: int) -> dict[str, Any]:
    """Price every way with 1 to 8 profiles on every workload, and time the planner on many lengths."""
    every, filled = (podcast_frames(num_lengths, filled=filled) for filled in (False, True))
    workloads = {EVERY: every, FILLED: filled, **{name: bundled_frames(name) for name in SETS}}
    spread = np.random.default_rng(0).integers(100, 1_080_000, num_lengths).tolist()
    return {
        "format": FORMAT,
        "podcast": dict(PARAMETERS),
        "workloads": [describe(name, Workload.of(frames)) for name, frames in workloads.items()],
        "padding": [row for name, frames in workloads.items() for row in padding(name, Workload.of(frames))],
        "times": [
            planning_time(EVERY, every, multiple_of=MULTIPLE_OF),
            planning_time("spread evenly up to three hours", spread, multiple_of=1),
        ],
    }


def describe(name: str, workload: Workload) -> dict[str, Any]:
    """Describe a workload in plain values."""
    return {
        "name": name,
        "num_items": len(workload),
        "frames": workload.frames,
        "min_frames": int(workload.lengths[0]),
        "max_frames": int(workload.lengths[-1]),
    }


def padding(name: str, workload: Workload) -> list[dict[str, Any]]:
    """Price every way with 1 to 8 profiles: padded work as a share of the exact work."""
    rows = []
    for way, choose in WAYS.items():
        for count in range(1, MAX_PROFILES + 1):
            buckets = buckets_for(workload, choose(workload, count))
            padded = sum(bucket.padded for bucket in buckets)
            waste = round(padded / workload.frames - 1, 6)
            rows.append({"workload": name, "way": way, "num_profiles": count, "waste": waste})
    return rows


def planning_time(name: str, frames: list[int], *, multiple_of: int) -> dict[str, Any]:
    """Time one plan with up to 8 profiles, from a list of lengths."""
    begin = time.perf_counter()
    plan_buckets(frames, max_profiles=MAX_PROFILES, multiple_of=multiple_of)
    seconds = time.perf_counter() - begin
    return {
        "workload": name,
        "num_lengths": len(frames),
        "num_distinct": len(Workload.of(frames).aligned(multiple_of).lengths),
        "seconds": round(seconds, 3),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument(
        "--lengths", type=int, default=100_000, metavar="N", help="lengths of the podcast workload"
    )
    parser.add_argument("--requests", type=int, default=1000, metavar="N", help="requests of the GPU part")
    parser.add_argument(
        "--max-profiles", type=int, default=6, metavar="N", help="of the planned engine of the GPU part"
    )
    parser.add_argument("--timing-cache", help="with --gpu: keeps tactic timings from one build to the next")
    parser.add_argument("--gpu", action="store_true", help="measure the GPU part alone, and add it")
    PUBLICATION.add_options(parser, has_limit=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
