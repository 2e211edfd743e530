"""Caches and counts made by hand, where every answer is known."""

from __future__ import annotations

import numpy as np

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


def evidence(
    native: dict[str, float],
    values: dict[str, tuple[np.ndarray, np.ndarray]],
    *,
    names: dict[str, str] | None = None,
    sharing: dict[str, tuple[str, ...]] | None = None,
    without_tf32: dict[str, float] | None = None,
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
    )


def own_amax(*parts: np.ndarray) -> float:
    return entropy_amax(counted(np.concatenate(parts)))
