"""Calibrate one network on every data set by every method, and count the word errors of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.calibration_data.sources import Source
from trtforge._progress import Stages
from trtforge.accuracy import AccuracyReport, Interval, Stratum
from trtforge.audio import ClipSet, LogMel
from trtforge.calibration import Method, choose
from trtforge.model import load_model, model_digest
from trtforge.pipeline import evaluate, observe, quantize
from trtforge.scales import Scales

FORMAT = "trtforge.benchmark.calibration_data/1"
REFERENCE = "FP32"
METHODS: tuple[Method, ...] = ("entropy", "percentile", "max")
PERCENTILE = 99.99


def measure(
    model: Path, features: LogMel, sources: Sequence[Source], test: ClipSet, stages: Stages
) -> dict[str, Any]:
    """Run the benchmark; see the page for what it does.

    Everything but INT8 stays FP32 in the quantized networks, so that ranges alone tell them apart, and all of
    them hear each clip in one pass.

    Parameters
    ----------
    model : the network, an ``.onnx`` file.
    features : those of the network.
    sources : what it is calibrated on.
    test : clips with texts that word errors are counted on.
    stages : shows progress and takes times.

    Returns
    -------
    Plain JSON values; rates are fractions, intervals 95 % ones.
    """
    network = load_model(model)
    scales: dict[str, dict[str, Scales]] = {}
    for source in sources:
        with stages.stage(source.key) as stage:
            observations = observe(network, source.feeds, on_progress=stage)
            scales[source.key] = {
                method: choose(observations, method, percentile=PERCENTILE) for method in METHODS
            }
            stage.note(f"{observations.num_clips} clips")
    candidates = {
        candidate_name(source.key, method): quantize(network, scales[source.key][method], rest="float32")
        for source in sources
        for method in METHODS
    }
    with stages.stage("evaluate") as stage:
        report = evaluate({REFERENCE: network, **candidates}, test, features=features, on_progress=stage)
        stage.note(f"{len(candidates)} candidates on {report.num_clips} clips")
    return {
        "format": FORMAT,
        "model": {"file": model.name, "sha256": model_digest(network)},
        "test_set": {"name": test.name, "sha256": test.digest, "num_clips": report.num_clips},
        "methods": list(METHODS),
        "percentile": PERCENTILE,
        "bootstrap": asdict(report.bootstrap),
        "seconds": {stage: round(seconds, 1) for stage, seconds in stages.seconds.items()},
        "sources": [
            {
                "key": source.key,
                "label": source.label,
                "description": source.description,
                "num_clips": scales[source.key][METHODS[0]].num_clips,
                "sha256": source.feeds.digest,
            }
            for source in sources
        ],
        "thresholds": _thresholds(scales),
        "outputs": list(_outputs(report)),
        "rates": list(_rates(report)),
        "clips": [
            {
                "id": clip.clip_id,
                "num_words": next(iter(clip.hypotheses.values())).words.num_reference,
                "errors": {name: heard.words.num_errors for name, heard in clip.hypotheses.items()},
            }
            for clip in report.clips
        ],
    }


def candidate_name(source: str, method: str) -> str:
    """Name the network calibrated on a data set by a method."""
    return f"{source}/{method}"


def _thresholds(scales: dict[str, dict[str, Scales]]) -> list[dict[str, Any]]:
    return [
        {
            "source": source,
            "tensor": tensor,
            "observed_max": by_method[METHODS[0]][tensor].observed_max,
            "amax": {method: by_method[method][tensor].amax for method in METHODS},
            "clipped_share": {method: by_method[method][tensor].clipped_share for method in METHODS},
        }
        for source, by_method in scales.items()
        for tensor in by_method[METHODS[0]]
    ]


def _outputs(report: AccuracyReport) -> Iterable[dict[str, Any]]:
    for runner, outputs in report.outputs.items():
        for output, found in outputs.items():
            yield {
                "runner": runner,
                "output": output,
                "snr_db": found.snr_db if math.isfinite(found.snr_db) else None,
                "argmax_agreement": found.argmax_agreement if math.isfinite(found.argmax_agreement) else None,
            }


def _rates(report: AccuracyReport) -> Iterable[dict[str, Any]]:
    groups: tuple[Stratum, ...] = (report.overall, *report.strata) if report.overall else ()
    for group in groups:
        for name, found in group.runners.items():
            change = found.wer_increase
            yield {
                "factor": group.factor,
                "value": group.value,
                "runner": name,
                "num_clips": group.num_clips,
                "num_words": group.num_words,
                "num_errors": found.wer.counts.num_errors,
                "wer": found.wer.rate,
                "wer_interval": _pair(found.wer.interval),
                "increase": change.rate if change else None,
                "increase_interval": _pair(change.interval if change else None),
            }


def _pair(interval: Interval | None) -> list[float] | None:
    return [interval.low, interval.high] if interval else None
