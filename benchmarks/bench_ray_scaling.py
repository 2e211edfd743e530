"""Time how transcribing many clips with Ray scales from one GPU to several.

    python -m benchmarks.bench_ray_scaling

Builds the bundled recogniser in FP16 with TensorRT, and transcribes the same clips with one process, then
with two and so on, each with a GPU of its own. The recogniser is small: each batch runs 50 times, in place of
a larger network. Clips a second are counted from when a quarter of the clips is done, so that starting Ray,
importing and loading, which processes do one after another, do not enter. The texts of all runs must agree.

With ``--free`` the network is not run at all: what is left is what the rest costs for each clip.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trtforge
from benchmarks.environment import describe_run
from benchmarks.many_clips.clips import Mixture, write_clips
from benchmarks.many_clips.processor_time import processor_seconds
from benchmarks.many_clips.repeated import REPEATS, FreeRecogniser, RepeatedRecogniser
from trtforge._files import write_json
from trtforge._optional import require
from trtforge.engine import BuildConfig
from trtforge.model import load_model, model_inputs
from trtforge.nvidia import gpus
from trtforge.serving.ray import ManySettings, Recogniser, list_clips, read_results, transcribe_many

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples/models/asr_en/asr_en.onnx"
CLIPS = ROOT / "calibration_sets/podcast_en"
BATCH_SIZE, SECONDS = 16, 3.0


class Progress:
    """When how many files were done, and what it took; it is itself the callback that is told."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.done: list[int] = []
        self._spent: list[defaultdict[str, float]] = []

    def __call__(self, done: int, total: int) -> None:
        """Note that ``done`` of ``total`` files are done."""
        self.at.append(time.perf_counter())
        self.done.append(done)
        if done == total or (done >= total / 4 and not self._spent):
            self._spent.append(processor_seconds())

    def last_three_quarters(self) -> tuple[int, float]:
        """Return how many files were done after the first quarter was, and in how many seconds."""
        begin = next(index for index, done in enumerate(self.done) if done >= self.done[-1] / 4)
        return self.done[-1] - self.done[begin], self.at[-1] - self.at[begin]

    def processor_ms_per_clip(self) -> dict[str, float]:
        """Return what each kind of process took for a clip of those that `last_three_quarters` counts."""
        counted, _ = self.last_three_quarters()
        begin, end = self._spent
        return {kind: 1e3 * (end[kind] - begin[kind]) / counted for kind in sorted(end)}


def build_engine(path: Path, num_frames: int = 400) -> None:
    """Build the recogniser in FP16 for one GPU."""
    profiles = trtforge.plan_profiles(model_inputs(load_model(MODEL)), [16, num_frames], max_batch=BATCH_SIZE)
    config = BuildConfig(precision="float16")
    trtforge.build(MODEL, profiles=profiles, config=config, flavor="tensorrt").save(path)


def run(
    folder: Path, num_clips: int, actors: Sequence[int], engine: Path | None, recogniser: type[Recogniser]
) -> list[dict[str, Any]]:
    """Transcribe the same clips with each number of processes.

    Returns
    -------
    One row for each: ``actors``, ``clips``, ``seconds`` of the last three quarters, ``clips_per_second`` and
    ``audio_seconds_per_second`` and ``processor_ms_per_clip`` in them, ``errors``, and ``same_texts`` as the
    first row's.
    """
    mixture = Mixture(good=num_clips, twins=0, bad_audio=0, crash=0, lost=0, fail=0)
    write_clips(folder / "clips", mixture, trtforge.ClipSet.load(CLIPS, verify=False), seconds=SECONDS)
    clips = list_clips(folder / "clips")
    rows: list[dict[str, Any]] = []
    first: dict[str, str] | None = None
    for count in actors:
        seen = Progress()
        report = transcribe_many(
            clips,
            MODEL,
            folder / f"out-{count}",
            engine=engine,
            settings=ManySettings(batch_size=BATCH_SIZE, min_actors=count, max_actors=count),
            recogniser=recogniser,
            on_progress=seen,
        )
        texts = {clip_id: row["text"] for clip_id, row in read_results(folder / f"out-{count}").items()}
        first = texts if first is None else first
        counted, seconds = seen.last_three_quarters()
        rows.append(
            {
                "actors": count,
                "clips": report.num_transcribed,
                "seconds": seconds,
                "clips_per_second": counted / seconds,
                "audio_seconds_per_second": SECONDS * counted / seconds,
                "processor_ms_per_clip": seen.processor_ms_per_clip(),
                "errors": dict(report.errors),
                "same_texts": texts == first,
            }
        )
        print(rows[-1], flush=True)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it over this machine's GPUs, and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/ray_scaling.json")
    parser.add_argument("--clips", type=int, default=4000)
    parser.add_argument("--cpu", action="store_true", help="the network in ONNX Runtime, to try the script")
    parser.add_argument("--free", action="store_true", help="with --cpu: run no network, answer at once")
    options = parser.parse_args(arguments)
    if options.free and not options.cpu:
        parser.error("--free needs --cpu")
    ray = require("ray", "run this benchmark")
    ray.init(include_dashboard=False, log_to_driver=False)
    count = 1 if options.cpu else len(gpus())
    recogniser = FreeRecogniser if options.free else RepeatedRecogniser
    with tempfile.TemporaryDirectory(prefix="trtforge-scaling-") as name:
        folder, engine = Path(name), None
        if not options.cpu:
            engine = folder / "asr.engine"
            build_engine(engine)
        rows = run(folder, options.clips, range(1, count + 1), engine, recogniser)
    ray.shutdown()
    words = [
        "--clips",
        str(options.clips),
        *(["--cpu"] if options.cpu else []),
        *(["--free"] if options.free else []),
    ]
    packages = ("ray", "tensorrt", "cuda-python", "numpy", "onnxruntime", "librosa")
    described = describe_run("benchmarks.bench_ray_scaling", words, packages=packages)
    write_json(
        options.output,
        {
            "run": described,
            "batch_size": BATCH_SIZE,
            "clip_seconds": SECONDS,
            "repeats": 0 if options.free else REPEATS,
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
