"""Search the bundled recogniser for the layers that INT8 costs too much, and judge what was found.

``python -m benchmarks.bench_search`` calibrates on ``podcast_en``, searches on ``podcast_en_test`` for a
budget of word errors and for one of the outputs' SNR, searches again from nothing, recognises ``podcast_en``
with what was found, then writes the JSON, the plot and the tables of the page. ``--redraw`` makes plot and
tables anew. It measures no time, but for ``--time``: on a GPU, that builds and times what the JSON has, and
searches nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.environment import describe_run
from benchmarks.pages import Publication
from benchmarks.search.page import tables
from trtforge._files import json_bytes, sha256
from trtforge._progress import OnProgress, Stages
from trtforge.accuracy import AccuracyReport
from trtforge.assignment import AccuracyBudget, Assignment, Frontier, Point, Score, TimeChoice, time_frontier
from trtforge.audio import ClipSet, features_for_model
from trtforge.engine import BuildConfig
from trtforge.model import load_model
from trtforge.nvidia import available, select
from trtforge.pipeline import FrontierTiming, Search, calibrate, choice_timer, evaluate, quantize, search
from trtforge.profiles import OptimizationProfile, ShapeRange
from trtforge.ratios import Ratios
from trtforge.report.frontier import draw_frontier
from trtforge.scales import Scales

MODULE = "benchmarks.bench_search"
FORMAT = "trtforge.bench.search/1"
ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples/models/asr_en/asr_en.onnx"
RESULT = ROOT / "benchmarks/results/search.json"
PLOT = ROOT / "docs/images/search.svg"
PAGE = ROOT / "docs/layer-search.md"
_PACKAGES = ("tensorrt", "cuda-python", "numpy", "onnx", "onnxruntime")
BUDGETS = {
    "word errors": AccuracyBudget(wer_increase=0.003, stratum_wer_increase=0.005),
    "SNR": AccuracyBudget(snr_db=33.0),
}


def _draw(result: Mapping[str, Any]) -> str:
    # The plot of the second budget: the first one may have left nothing out.
    return draw_frontier({**result, **result["chosen"][-1]})


PUBLICATION = Publication(MODULE, FORMAT, RESULT, PAGE, tables, PLOT, _draw)
load, fill = PUBLICATION.load, PUBLICATION.fill


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser().parse_args(given)

    def make(path: Path) -> dict[str, Any]:
        if args.time:
            timed = describe_run(MODULE, given, packages=_PACKAGES)
            return {**time_points(load(path), args), "timed": timed}
        return {**measure(args), "run": describe_run(MODULE, given)}

    return PUBLICATION.run(args, make)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Calibrate, search as often as asked, and judge the assignment on the clips that were calibrated on."""
    from rich.console import Console

    stages = Stages(Console())
    model, test_clips = load_model(MODEL), ClipSet.load(ROOT / "calibration_sets/podcast_en_test")
    features, other_clips = features_for_model(model), ClipSet.load(ROOT / "calibration_sets/podcast_en")
    if args.limit:
        test_clips, other_clips = (
            clips.subset(clips.ids[: args.limit]) for clips in (test_clips, other_clips)
        )
    with stages.stage("calibrate") as stage:
        scales = calibrate(model, other_clips.feeds(features), on_progress=stage)
    turns: list[dict[str, Search]] = []
    for turn in range(args.turns):
        with stages.stage(f"search {turn + 1}") as stage:
            turns.append(_search(scales, test_clips, args, turn, stage))
            stage.note(", ".join(map(repr, turns[-1].values())))
    with stages.stage("judge") as stage:
        found = {name: one.assignment for name, one in turns[0].items()}
        judged = _judge(scales, found, other_clips, stage)
    first = next(iter(turns[0].values())).to_json()
    return {
        "format": FORMAT,
        "num_clips": len(test_clips),
        "digests": [sha256(json_bytes([one.to_json() for one in turn.values()])) for turn in turns],
        "judged": judged,
        "everything": first["everything"],
        "sensitivity": first["sensitivity"],
        "order": first["order"],
        "frontier": first["frontier"],
        "chosen": [
            {"budget": name, "assignment": one.assignment.to_json(), "refined": one.to_json()["refined"]}
            for name, one in turns[0].items()
        ],
    }


def time_points(result: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Return a result whose frontier and choices have their time beside FP16 on the GPU here."""
    from rich.console import Console

    stages = Stages(Console())
    model, clips = load_model(MODEL), ClipSet.load(ROOT / "calibration_sets/podcast_en")
    with stages.stage("calibrate") as stage:
        scales = calibrate(model, clips.feeds(features_for_model(model)), on_progress=stage)
    flavor = next((found for found in available() if found.name == "tensorrt"), None) or select("tensorrt")
    profile = OptimizationProfile({"mel": ShapeRange((1, 80, 64), (16, 80, 512), (32, 80, 1024))})
    nodes = {row["group"]: row["nodes"] for row in result["sensitivity"]}
    config = BuildConfig(timing_cache=args.timing_cache)
    with stages.stage("time") as stage:
        time_choice = choice_timer(model, scales, nodes, FrontierTiming([profile], flavor, config))
        return with_times(result, time_choice, stage)


def with_times(result: dict[str, Any], time_choice: TimeChoice, on_progress: OnProgress) -> dict[str, Any]:
    """Return a result with the time of every point, each choice built once; what cannot be built is noted."""
    points = [*result["frontier"], *(point for chosen in result["chosen"] for point in chosen["refined"])]
    choices = tuple(
        Point(tuple(point["left_out"]), point["int8_share"], Score.from_json(point["score"]), ())
        for point in points
    )
    num_built, done = len({choice.left_out for choice in choices if choice.int8_share}), count(1)

    def time_one(left_out: tuple[str, ...]) -> Ratios:
        try:
            return time_choice(left_out)
        finally:
            on_progress(next(done), num_built)

    # The last of the frontier leaves out everything: FP16, which is there whatever cannot be built.
    float16 = choices[len(result["frontier"]) - 1]
    timed = iter(time_frontier(Frontier(choices, (), float16), time_one).points)

    def with_time(point: dict[str, Any]) -> dict[str, Any]:
        time = next(timed).time
        assert time is not None  # noqa: S101 - narrows the type
        return {**point, "time": time.to_json()}

    return {
        **result,
        "frontier": [with_time(point) for point in result["frontier"]],
        "chosen": [
            {**chosen, "refined": [with_time(point) for point in chosen["refined"]]}
            for chosen in result["chosen"]
        ],
    }


def _search(
    scales: Scales, clips: ClipSet, args: argparse.Namespace, turn: int, stage: Any
) -> dict[str, Search]:
    """Search once for each budget; what was scored for the first is not scored again for the second."""
    with tempfile.TemporaryDirectory() as folder:
        journal = f"{args.journal}.{turn}.json" if args.journal else Path(folder) / "journal.json"
        settings: dict[str, Any] = {"num_processes": args.processes, "on_progress": stage, "journal": journal}
        return {
            name: search(MODEL, scales, clips, budget=budget, **settings) for name, budget in BUDGETS.items()
        }


def _judge(
    scales: Scales, found: Mapping[str, Assignment], clips: ClipSet, stage: Any
) -> list[dict[str, Any]]:
    """Count words of FP32, all in INT8, and the assignments, on clips that the search did not see."""
    networks = {
        "all layers INT8": quantize(MODEL, scales, rest="float32"),
        **{
            f"chosen for {name}": quantize(MODEL, scales, rest="float32", assignment=assignment)
            for name, assignment in found.items()
        },
    }
    report = evaluate({"FP32": MODEL, **networks}, clips, on_progress=stage)
    return [_row(report, name) for name in report.runners]


def _row(report: AccuracyReport, name: str) -> dict[str, Any]:
    assert report.overall is not None  # noqa: S101 - clips with texts were decoded
    found = report.overall.runners[name]
    increase = found.wer_increase
    interval = increase.interval if increase else None
    return {
        "runner": name,
        "num_clips": report.num_clips,
        "num_words": report.overall.num_words,
        "num_errors": found.wer.counts.num_errors,
        "increase": increase.rate if increase else None,
        "interval": [interval.low, interval.high] if interval else None,
        "snr_db": report.outputs[name]["logits"].snr_db if name in report.outputs else None,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--turns", type=int, default=2, help="searches from nothing, to be compared")
    parser.add_argument("--processes", type=int, default=2, help="networks run side by side")
    parser.add_argument("--journal", help="where each search keeps its scores: this and its number")
    parser.add_argument("--time", action="store_true", help="time the choices of the JSON that is there")
    parser.add_argument("--timing-cache", help="file that keeps tactic timings from one build to the next")
    PUBLICATION.add_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
