"""Measure the bundled recogniser, FP32 and INT8, and fill the table of its model card.

    python -m benchmarks.bench_recogniser

It is calibrated on `podcast_en` and recognises `podcast_en_test`, greedily, in ONNX Runtime on the CPU.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.environment import describe_run
from trtforge._files import write_json, write_text
from trtforge._progress import Stages
from trtforge.accuracy import AccuracyReport
from trtforge.audio import ClipSet, features_for_model
from trtforge.model import load_model, model_digest
from trtforge.pipeline import calibrate, evaluate, quantize

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples/models/asr_en/asr_en.onnx"
CARD = ROOT / "examples/models/asr_en/README.md"
RESULT = ROOT / "benchmarks/results/recogniser.json"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
MIN_CLIPS = 30

PARTS: Mapping[str, Callable[[Mapping[str, str]], bool]] = {
    "all clips": lambda strata: True,
    "clean, dry, studio": lambda strata: (
        (strata["noise"], strata["reverb"], strata["channel"]) == ("none", "dry", "studio")
    ),
    "clean, dry, studio, espeak-ng voices": lambda strata: (
        PARTS["clean, dry, studio"](strata) and strata["engine"] == "espeak"
    ),
    "espeak-ng voices": lambda strata: strata["engine"] == "espeak",
    "flite voices": lambda strata: strata["engine"] == "flite",
}


def measure() -> dict[str, Any]:
    """Calibrate, quantize, recognise; return the counts."""
    from rich.console import Console

    stages = Stages(Console())
    model, clips = load_model(MODEL), ClipSet.load(ROOT / "calibration_sets/podcast_en")
    with stages.stage("calibrate") as stage:
        scales = calibrate(model, clips.feeds(features_for_model(model)), on_progress=stage)
    with stages.stage("evaluate") as stage:
        contenders = {"FP32": model, "INT8": quantize(model, scales)}
        test_clips = ClipSet.load(ROOT / "calibration_sets/podcast_en_test")
        report = evaluate(contenders, test_clips, on_progress=stage)
    return {
        "format": "trtforge.benchmark.recogniser/1",
        "model_sha256": model_digest(model),
        "parts": [_count(report, name) for name in PARTS],
        "worst_stratum": _worst(report),
        "run": describe_run("benchmarks.bench_recogniser", []),
    }


def _count(report: AccuracyReport, part: str) -> dict[str, Any]:
    clips = [clip for clip in report.clips if PARTS[part](clip.strata)]
    words = sum(len(clip.reference.split()) for clip in clips)
    errors = {name: sum(clip.hypotheses[name].words.num_errors for clip in clips) for name in report.runners}
    return {"part": part, "num_clips": len(clips), "num_words": words, "errors": errors}


def _worst(report: AccuracyReport) -> dict[str, Any]:
    """Find the stratum of enough clips whose error rate rises most."""
    judged = [stratum for stratum in report.strata if stratum.num_clips >= MIN_CLIPS]
    rises = [
        (stratum.runners["INT8"].wer.rate or 0) - (stratum.runners["FP32"].wer.rate or 0)
        for stratum in judged
    ]
    rise, index = max((rise, -index) for index, rise in enumerate(rises))
    worst = judged[-index]
    return {"stratum": f"{worst.factor}={worst.value}", "num_clips": worst.num_clips, "wer_increase": rise}


def table(result: Mapping[str, Any]) -> str:
    """Write the result as the model card's table."""
    lines = ["| clips | number | words | WER FP32 | WER INT8 |", "|---|---:|---:|---:|---:|"]
    for part in result["parts"]:
        rates = (f"{100 * part['errors'][name] / part['num_words']:.1f} %" for name in ("FP32", "INT8"))
        lines.append(f"| {part['part']} | {part['num_clips']} | {part['num_words']} | {' | '.join(rates)} |")
    worst, run = result["worst_stratum"], result["run"]
    lines += [
        "",
        f"The stratum of {MIN_CLIPS} or more clips that INT8 costs most is {worst['stratum']}: "
        f"{100 * worst['wer_increase']:+.2f} points on {worst['num_clips']} clips.",
        f"Measured by `{run['command']}` on {run['machine']['processor']}, "
        f"{run['machine']['num_cpus']} cores, {run['date']}; "
        "`benchmarks/results/recogniser.json` has the counts and versions.",
    ]
    return "\n".join(lines)


def fill(card: str, result: Mapping[str, Any]) -> str:
    """Put the table between the card's markers."""
    head, _, rest = card.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table(result)}\n{END}{tail}"


def main() -> None:
    """Measure, write the JSON and the card."""
    result = measure()
    write_json(RESULT, result)
    write_text(CARD, fill(CARD.read_text(encoding="utf-8"), json.loads(RESULT.read_text(encoding="utf-8"))))
    print(table(result))


if __name__ == "__main__":
    main()
