"""Word error rates with confidence intervals, and how far a candidate's outputs lie from the reference's."""

from trtforge.accuracy.bootstrap import BootstrapConfig, Interval, difference_interval, rate_interval
from trtforge.accuracy.evaluate import Runner, evaluate
from trtforge.accuracy.metrics import OutputMetrics, measure_output
from trtforge.accuracy.report import AccuracyReport
from trtforge.accuracy.significance import permutation_test
from trtforge.accuracy.summary import (
    ClipHypothesis,
    ClipOutputs,
    ClipResult,
    ErrorRate,
    Increase,
    Recognition,
    Stratum,
)
from trtforge.accuracy.wer import ErrorCounts, character_errors, normalize_text, word_errors

__all__ = [
    "AccuracyReport",
    "BootstrapConfig",
    "ClipHypothesis",
    "ClipOutputs",
    "ClipResult",
    "ErrorCounts",
    "ErrorRate",
    "Increase",
    "Interval",
    "OutputMetrics",
    "Recognition",
    "Runner",
    "Stratum",
    "character_errors",
    "difference_interval",
    "evaluate",
    "measure_output",
    "normalize_text",
    "permutation_test",
    "rate_interval",
    "word_errors",
]
