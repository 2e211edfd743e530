"""Transcribe many clips with Ray while processes die, networks raise and audio is bad: what comes out of it.

Counts, no times: every good clip must come out once, with the words that one process gives it alone, and
every bad one by name, with a code that says why.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trtforge
from benchmarks.environment import describe_run
from benchmarks.many_clips.clips import BAD_AUDIO, Mixture, kind_of, write_clips
from benchmarks.many_clips.faults import FaultyRecogniser
from benchmarks.pages import fill_between, table
from trtforge._files import write_json
from trtforge._optional import require
from trtforge.audio import decode_audio, features_for_model
from trtforge.runtime import OnnxRunner
from trtforge.serving.ray import ManySettings, list_clips, read_results, transcribe_many
from trtforge.speech import CtcDecoder

_ROOT = Path(__file__).parents[1]
MODEL = _ROOT / "examples/models/asr_en/asr_en.onnx"
CLIPS = _ROOT / "calibration_sets/podcast_en_test"
FULL = Mixture(good=900, twins=20, bad_audio=50, crash=6, lost=4, fail=20)
EXPECTED_CODE = {
    **dict.fromkeys(BAD_AUDIO, "clip"),
    "crash": "poisoned",
    "lost": "poisoned",
    "fail": "exception",
    "good": "",
    "twin": "",
}


def run(mixture: Mixture, folder: Path, *, batch_size: int = 8) -> dict[str, Any]:
    """Write clips, transcribe them, transcribe them again, and count.

    Returns
    -------
    Counts as plain JSON values: ``clips`` by kind, ``codes`` by kind and code, ``missing``, ``repeated``,
    ``wrong_code``, ``wrong_text`` with ids, and what each of the two runs reported.
    """
    write_clips(folder / "clips", mixture, trtforge.ClipSet.load(CLIPS, verify=False))
    clips = list_clips(folder / "clips")
    settings = ManySettings(batch_size=batch_size)
    reports = [
        vars(transcribe_many(clips, MODEL, folder / "out", settings=settings, recogniser=FaultyRecogniser))
        for _ in range(2)
    ]
    lines = (folder / "out/results.jsonl").read_text(encoding="utf-8").splitlines()
    results = read_results(folder / "out")
    named = Counter(clip_id for row in results_of(lines) for clip_id in row["ids"])
    codes: dict[str, Counter[str]] = {}
    for clip in clips:
        if clip.id in results:
            codes.setdefault(kind_of(clip.id), Counter())[results[clip.id]["error_code"] or "text"] += 1
    alone = _alone([clip.path for clip in clips if kind_of(clip.id) in ("good", "twin")])
    return {
        "clips": dict(Counter(kind_of(clip.id) for clip in clips)),
        "codes": {kind: dict(counts) for kind, counts in codes.items()},
        "lines": len(lines),
        "missing": [clip.id for clip in clips if clip.id not in named],
        "repeated": [clip_id for clip_id, count in named.items() if count > 1],
        "wrong_code": [
            clip_id
            for clip_id, row in results.items()
            if row["error_code"] != EXPECTED_CODE[kind_of(clip_id)]
        ],
        "wrong_text": [
            clip.id for clip in clips if clip.path in alone and results[clip.id]["text"] != alone[clip.path]
        ],
        "first_run": reports[0],
        "second_run": reports[1],
    }


def results_of(lines: Sequence[str]) -> list[dict[str, Any]]:
    """Parse the lines of a results file."""
    return [json.loads(line) for line in lines]


def _alone(paths: Sequence[str]) -> dict[str, str]:
    """Transcribe clips one at a time in this process."""
    features, decoder = features_for_model(MODEL), CtcDecoder.for_model(MODEL)
    texts = {}
    with OnnxRunner(MODEL) as runner:
        for path in paths:
            values = features(decode_audio(path, sampling_rate=features.sampling_rate))
            outputs = runner.run({features.input_name: values[None]})
            (texts[path],) = decoder.decode(outputs, [values.shape[-1]])
    return texts


def page_text(result: dict[str, Any]) -> str:
    """Set the counts as the table of ``docs/ray.md``."""
    meanings = {
        "good": "speech of one second",
        "twin": "the file of another clip again",
        "crash": "ends the process",
        "lost": "the GPU seems lost",
        "fail": "the network raises",
        "empty": "no bytes",
        "text": "no audio",
        "truncated": "cut off in its header",
        "nan": "a sample that is no number",
        "short": "a few samples",
    }
    rows = [
        (
            meaning,
            ", ".join(f"{count} `{code}`" for code, count in result["codes"][kind].items()),
            result["clips"][kind],
        )
        for kind, meaning in meanings.items()
    ]
    return table(("clip", "came out as", "clips"), rows, right=1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it on this machine's cores and write the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=_ROOT / "benchmarks/results/many_clips.json")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--page", action="store_true", help="fill the table of docs/ray.md")
    options = parser.parse_args(arguments)
    ray = require("ray", "run this benchmark")
    ray.init(num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory(prefix="trtforge-many-") as folder:
        counted = run(FULL, Path(folder), batch_size=options.batch_size)
    ray.shutdown()
    described = describe_run(
        "benchmarks.bench_many_clips",
        ["--batch-size", str(options.batch_size)],
        packages=("ray", "numpy", "onnx", "onnxruntime", "librosa", "soundfile"),
    )
    write_json(options.output, {"run": described, "batch_size": options.batch_size, **counted})
    print(f"{options.output}: {counted['codes']}")
    if options.page:
        page = _ROOT / "docs/ray.md"
        page.write_text(fill_between(page.read_text(), page_text(counted)))


if __name__ == "__main__":
    main()
