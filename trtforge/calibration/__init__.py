"""Calibration: count what activations look like, then choose the range that INT8 should cover.

Counting and choosing are apart: one pass over the clips gives `Observations`, from which `choose` makes
`trtforge.scales.Scales` by any method, as often as wanted.
"""

from __future__ import annotations

from trtforge.calibration.audit import AuditReport, audit_observations
from trtforge.calibration.cache import (
    CalibrationCache,
    cache_header,
    read_calibration_cache,
    write_calibration_cache,
)
from trtforge.calibration.carriers import cache_from_scales, cache_tensors, scales_from_cache
from trtforge.calibration.choose import FLOOR_AMAX, METHODS, Method, choose
from trtforge.calibration.clip_observations import ClipObservations
from trtforge.calibration.collect import collect
from trtforge.calibration.convergence import Convergence, Drift, convergence
from trtforge.calibration.histogram import NUM_BINS, Histogram, HistogramView
from trtforge.calibration.observations import Observations
from trtforge.calibration.observers import Observer, Tally
from trtforge.calibration.onnxruntime_tables import read_onnxruntime_table, write_onnxruntime_table
from trtforge.calibration.orders import only, random_order, stratified_order
from trtforge.calibration.parser_names import parser_names
from trtforge.calibration.per_clip import collect_per_clip
from trtforge.calibration.quantized_graphs import read_qdq_scales
from trtforge.calibration.thresholds import entropy_amax, entropy_index, max_amax, mse_amax, percentile_amax
from trtforge.calibration.torch_hooks import collect_torch

__all__ = [
    "FLOOR_AMAX",
    "METHODS",
    "NUM_BINS",
    "AuditReport",
    "CalibrationCache",
    "ClipObservations",
    "Convergence",
    "Drift",
    "Histogram",
    "HistogramView",
    "Method",
    "Observations",
    "Observer",
    "Tally",
    "audit_observations",
    "cache_from_scales",
    "cache_header",
    "cache_tensors",
    "choose",
    "collect",
    "collect_per_clip",
    "collect_torch",
    "convergence",
    "entropy_amax",
    "entropy_index",
    "max_amax",
    "mse_amax",
    "only",
    "parser_names",
    "percentile_amax",
    "random_order",
    "read_calibration_cache",
    "read_onnxruntime_table",
    "read_qdq_scales",
    "scales_from_cache",
    "stratified_order",
    "write_calibration_cache",
    "write_onnxruntime_table",
]
