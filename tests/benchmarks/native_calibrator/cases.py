"""Caches and counts made by hand, where every answer is known."""

from __future__ import annotations

import numpy as np

from benchmarks.native_calibrator.bins import Bins, bin_width
from benchmarks.native_calibrator.evidence import Evidence
from trtforge.calibration import CalibrationCache, Histogram, Observations, Observer, entropy_amax

HEADER = "TRT-8600-EntropyCalibration2"


def counted(values: np.ndarray) -> Histogram:
    observer = Observer()
    observer.observe(np.asarray(values, np.float32))
    return observer.histogram()


def laplace(scale: float, seed: int, size: int = 60_000) -> np.ndarray:
    return np.random.default_rng(seed).laplace(scale=scale, size=size).astype(np.float32)


def observations(**tensors: Histogram) -> Observations:
    return Observations(tensors, model_sha256="0" * 64, feeds_sha256="1" * 64, num_clips=2)


def binned(first: np.ndarray, second: np.ndarray) -> Bins:
    both = np.abs(np.concatenate([first, second])).astype(np.float64)
    width = bin_width(float(np.abs(first).max()), float(both.max()))
    positions = np.minimum(both[both > 0] / width, 2047).astype(int)
    return Bins(width, np.bincount(positions, minlength=2048), int((both == 0).sum()))


def evidence(
    native: dict[str, float],
    values: dict[str, tuple[np.ndarray, np.ndarray]],
    *,
    names: dict[str, str] | None = None,
    sharing: dict[str, tuple[str, ...]] | None = None,
    without_tf32: dict[str, float] | None = None,
    with_bins: bool = False,
) -> Evidence:
    """Make evidence of thresholds and of each tensor's values in the first and in the second batch."""
    first = {name: counted(one) for name, (one, _) in values.items()}
    total = {name: counted(np.concatenate(both)) for name, both in values.items()}

    def cache(amax: dict[str, float]) -> CalibrationCache:
        return CalibrationCache(HEADER, {name: value / 127 for name, value in amax.items()})

    return Evidence(
        native=cache(native),
        first=observations(**first),
        total=observations(**total),
        names=names or {name: name for name in native},
        sharing=sharing or {},
        without_tf32=None if without_tf32 is None else cache(without_tf32),
        bins={name: binned(*both) for name, both in values.items()} if with_bins else None,
    )


def own_amax(*parts: np.ndarray) -> float:
    return entropy_amax(counted(np.concatenate(parts)))
