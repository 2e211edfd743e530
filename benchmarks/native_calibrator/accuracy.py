"""What each engine loses against the network in FP32: signal to noise of outputs, and word errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.native_calibrator.networks import RECOGNISER, TEST_SET, Subject
from trtforge.accuracy import AccuracyReport
from trtforge.accuracy.bootstrap import Interval, difference_interval
from trtforge.accuracy.metrics import OutputMetrics, measure_output
from trtforge.audio import ClipSet
from trtforge.engine import Engine
from trtforge.pipeline import evaluate
from trtforge.runtime import OnnxRunner, Session

REFERENCE, NATIVE, OURS = "FP32", "native", "ours"


def output_errors(subject: Subject, engines: Mapping[str, Engine]) -> dict[str, dict[str, float | None]]:
    """Run the first batch through ONNX Runtime in FP32 and through each engine.

    Returns
    -------
    Engine to ``snr_db`` over all outputs, and ``same_symbol``, the share of positions where the largest entry
    of the last axis is that of FP32; None where a number is not finite.
    """
    arrays = subject.batches[0]
    with OnnxRunner(subject.model) as reference:
        wanted = reference.run(arrays)
    found = {}
    for name, engine in engines.items():
        with Session(engine) as session:
            got = session.run(arrays)
        metrics = sum((measure_output(wanted[key], got[key]) for key in wanted), OutputMetrics())
        found[name] = {"snr_db": _finite(metrics.snr_db), "same_symbol": _finite(metrics.argmax_agreement)}
    return found


def word_errors(engines: Mapping[str, Engine], *, limit: int | None = None) -> list[dict[str, Any]]:
    """Recognise the test set with the FP32 network and each engine; count errors.

    Parameters
    ----------
    engines : `NATIVE` and `OURS` to their engines.
    limit : at most so many clips.

    Returns
    -------
    Rows of `error_rows`.
    """
    clips = ClipSet.load(TEST_SET)[:limit]
    return error_rows(evaluate({REFERENCE: RECOGNISER, **engines}, clips))


def error_rows(report: AccuracyReport) -> list[dict[str, Any]]:
    """Return a row for each runner, and one for the step from `NATIVE` to `OURS`.

    Rates are fractions, intervals 95 % bootstrap ones, those of increases paired by clip.
    """
    if report.overall is None:
        return []
    rows = []
    for name, found in report.overall.runners.items():
        change = found.wer_increase
        rows.append(
            {
                "runner": name,
                "against": None if change is None else report.reference,
                "num_clips": report.overall.num_clips,
                "num_words": report.overall.num_words,
                "num_errors": found.wer.counts.num_errors,
                "wer": found.wer.rate,
                "wer_interval": _pair(found.wer.interval),
                "increase": change.rate if change else None,
                "increase_interval": _pair(change.interval if change else None),
            }
        )
    if {NATIVE, OURS} <= set(report.runners):
        rows.append(_step(report, rows))
    return rows


def _step(report: AccuracyReport, rows: list[dict[str, Any]]) -> dict[str, Any]:
    errors = {
        name: [clip.hypotheses[name].words.num_errors for clip in report.clips] for name in (NATIVE, OURS)
    }
    words = [clip.hypotheses[OURS].words.num_reference for clip in report.clips]
    (own,) = (row for row in rows if row["runner"] == OURS)
    return {
        **own,
        "against": NATIVE,
        "increase": (sum(errors[OURS]) - sum(errors[NATIVE])) / sum(words),
        "increase_interval": _pair(
            difference_interval(errors[NATIVE], errors[OURS], words, report.bootstrap)
        ),
    }


def _pair(interval: Interval | None) -> list[float] | None:
    return [interval.low, interval.high] if interval else None


def _finite(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None
