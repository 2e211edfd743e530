"""Calibration: count what activations look like, then choose the range that INT8 should cover.

Counting and choosing are apart: one pass over the clips gives `Observations`, from which `choose` makes
`trtforge.scales.Scales` by any method, as often as wanted.
"""

from __future__ import annotations

from trtforge.calibration.choose import FLOOR_AMAX, METHODS, Method, choose
from trtforge.calibration.collect import collect
from trtforge.calibration.histogram import NUM_BINS, Histogram, HistogramView
from trtforge.calibration.observations import Observations
from trtforge.calibration.observers import Observer, Tally
from trtforge.calibration.thresholds import entropy_amax, entropy_index, max_amax, mse_amax, percentile_amax

__all__ = [
    "FLOOR_AMAX",
    "METHODS",
    "NUM_BINS",
    "Histogram",
    "HistogramView",
    "Method",
    "Observations",
    "Observer",
    "Tally",
    "choose",
    "collect",
    "entropy_amax",
    "entropy_index",
    "max_amax",
    "mse_amax",
    "percentile_amax",
]
