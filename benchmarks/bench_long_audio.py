"""Recognise recordings of growing length in windows: time, peak memory, equality with the uncut network.

    python -m benchmarks.bench_long_audio
    python -m benchmarks.bench_long_audio --runner session
    python -m benchmarks.bench_long_audio --redraw

Joins clips of the bundled test set, over and over, to 16-bit WAV files of each length in a temporary folder
and recognises each in a process of its own, whose peak of resident memory is read at the end. ``uncut``: the
logits of a recording of ``--uncut-seconds``, in windows and at once. ``session`` needs a GPU and TensorRT.
Writes one JSON for each runner, and the page's tables from those that are there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import describe_run
from benchmarks.long_audio.page import fill
from benchmarks.pages import load_result, to_text
from trtforge._files import write_text
from trtforge._optional import require
from trtforge.audio import ClipSet, LogMel, decode_audio
from trtforge.engine import BuildConfig, build
from trtforge.errors import TrtforgeError
from trtforge.graph import prepare, receptive_field
from trtforge.model import load_model, model_digest
from trtforge.profiles import OptimizationProfile, ShapeRange
from trtforge.runtime import OnnxRunner, Session
from trtforge.speech import CtcDecoder, framewise, transcribe_long

MODULE = "benchmarks.bench_long_audio"
FORMAT = "trtforge.bench.long_audio/1"
ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples/models/asr_en/asr_en.onnx"
CLIPS = ROOT / "calibration_sets/podcast_en_test"
RESULTS = {
    "onnx": ROOT / "benchmarks/results/long_audio.json",
    "session": ROOT / "benchmarks/results/long_audio_session.json",
}
PAGE = ROOT / "docs/long-audio.md"
PACKAGES = ("numpy", "librosa", "soundfile", "onnxruntime", "tensorrt", "cuda-python")


def write_recording(path: Path, seconds: float, *, sampling_rate: int = 16_000) -> None:
    """Write a WAV of clips joined, a clip at a time."""
    clips = ClipSet.load(CLIPS)
    left = round(seconds * sampling_rate)
    soundfile = require("soundfile", "write audio files")
    with soundfile.SoundFile(path, "w", sampling_rate, 1, "PCM_16") as sound:
        for clip in cycle(clips):
            audio = decode_audio(CLIPS / clip.path, sampling_rate=sampling_rate)[:left]
            sound.write(audio)
            left -= len(audio)
            if not left:
                return


def open_runner(
    kind: str, *, window_frames: int, max_batch: int, max_frames: int | None = None
) -> AbstractContextManager[Any]:
    """Open the recogniser in ONNX Runtime, or built in FP32 with TensorRT.

    Parameters
    ----------
    kind : ``onnx`` or ``session``.
    window_frames, max_batch : what the engine is tuned for.
    max_frames : longest input that one more profile takes, in feature frames.
    """
    if kind == "onnx":
        return OnnxRunner(MODEL)
    tuned = (max_batch, 80, window_frames)
    profiles = [OptimizationProfile({"mel": ShapeRange((1, 80, 16), tuned, tuned)})]
    if max_frames is not None:
        whole = (1, 80, max_frames)
        profiles.append(OptimizationProfile({"mel": ShapeRange((1, 80, 16), whole, whole)}))
    # TF32 would hide what stitching does behind its own rounding.
    config = BuildConfig(precision="float32", tf32=False)
    return Session(build(prepare(load_model(MODEL)), profiles=profiles, config=config, flavor="tensorrt"))


def measure_length(arguments: argparse.Namespace) -> dict[str, Any]:
    """Recognise one recording; memory is this process's."""
    features, decoder = LogMel.for_model(MODEL), CtcDecoder.for_model(MODEL)
    window_frames = int(arguments.window_seconds * features.sampling_rate / features.hop_length)
    with open_runner(arguments.runner, window_frames=window_frames, max_batch=arguments.max_batch) as runner:
        ready = _status_bytes("VmRSS")
        began = time.perf_counter()
        transcript = transcribe_long(
            runner,
            arguments.one,
            features,
            decoder,
            window_seconds=arguments.window_seconds,
            field=receptive_field(MODEL),
            max_batch=arguments.max_batch,
        )
        seconds = time.perf_counter() - began
    return {
        "audio_seconds": round(transcript.duration, 3),
        "seconds": round(seconds, 3),
        "rtfx": round(transcript.duration / seconds, 1),
        "num_words": len(transcript.words),
        "resident_before_bytes": ready,
        "resident_peak_bytes": _status_bytes("VmHWM"),
    }


def compare_uncut(arguments: argparse.Namespace) -> dict[str, Any]:
    """Give the largest difference between stitched and uncut logits of one recording."""
    features = LogMel.for_model(MODEL)
    audio = decode_audio(arguments.one, sampling_rate=features.sampling_rate)
    mel = features(audio)
    window_frames = int(arguments.window_seconds * features.sampling_rate / features.hop_length)
    with open_runner(
        arguments.runner,
        window_frames=window_frames,
        max_batch=arguments.max_batch,
        max_frames=mel.shape[1],
    ) as runner:
        whole = runner.run({"mel": mel[None]})["logits"][0]
        blocks = list(
            framewise(
                runner,
                arguments.one,
                features,
                output="logits",
                stride=2,
                window_seconds=arguments.window_seconds,
                field=receptive_field(MODEL),
                max_batch=arguments.max_batch,
            )
        )
    stitched = np.concatenate(blocks)
    if stitched.shape != whole.shape:
        raise TrtforgeError(f"stitched logits are {stitched.shape}, uncut {whole.shape}")
    return {
        "audio_seconds": round(len(audio) / features.sampling_rate, 3),
        "num_windows": len(blocks),
        "num_outputs": len(whole),
        "largest_difference": float(np.abs(stitched - whole).max()),
        "largest_logit": float(np.abs(whole).max()),
        "other_best_symbols": int((stitched.argmax(axis=1) != whole.argmax(axis=1)).sum()),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every length and write the JSON after each."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    if options.one is not None:
        print(json.dumps(compare_uncut(options) if options.uncut else measure_length(options)))
        return 0
    if options.redraw:
        redraw()
        return 0
    output = options.output or RESULTS[options.runner]
    result: dict[str, Any] = {
        "format": FORMAT,
        **describe_run(MODULE, given, packages=PACKAGES),
        "model_sha256": model_digest(load_model(MODEL)),
        "runner": options.runner,
        "window_seconds": options.window_seconds,
        "max_batch": options.max_batch,
        "uncut": None,
        "lengths": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.wav"
        write_recording(path, options.uncut_seconds)
        result["uncut"] = _in_process(path, given, "--uncut")
        print("uncut", result["uncut"], flush=True)
        for minutes in options.minutes:
            write_recording(path, 60 * minutes)
            result["lengths"].append(_in_process(path, given))
            print(f"{minutes:g} min", result["lengths"][-1], flush=True)
            write_text(output, to_text(result))
    if options.output is None:
        redraw()
    return 0


def load() -> list[dict[str, Any]]:
    """Read the results that are there, one for each runner.

    Raises
    ------
    ReportError : a file is not such a result.
    """
    return [load_result(path, kind=FORMAT, module=MODULE) for path in RESULTS.values() if path.is_file()]


def redraw() -> None:
    """Fill the page's tables from the results."""
    write_text(PAGE, fill(PAGE.read_text(encoding="utf-8"), load()))


def _in_process(path: Path, given: Sequence[str], *more: str) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603 - our own arguments
        [sys.executable, "-m", MODULE, *given, "--one", str(path), *more],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
    )
    value: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return value


def _status_bytes(field: str) -> int:
    """Read a size from the kernel's account of this process; ``VmHWM`` is the peak since it was started."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise TrtforgeError(f"this system does not tell {field} of a process")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument(
        "--output", type=Path, metavar="PATH", help="another place for the JSON; the page stays as it is"
    )
    parser.add_argument("--redraw", action="store_true", help="measure nothing; fill the page from the JSON")
    parser.add_argument("--runner", choices=("onnx", "session"), default="onnx")
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 60, 180], metavar="N")
    parser.add_argument("--uncut-seconds", type=float, default=60, metavar="N")
    parser.add_argument("--window-seconds", type=float, default=30, metavar="N")
    parser.add_argument("--max-batch", type=int, default=1, metavar="N", help="windows run at a time")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--uncut", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
