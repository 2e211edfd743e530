"""Choose every tensor's INT8 range from what was observed: a pure function of the observations."""

from __future__ import annotations

from typing import Literal

from trtforge.calibration.histogram import Histogram
from trtforge.calibration.observations import Observations
from trtforge.calibration.thresholds import (
    check_percentile,
    entropy_amax,
    max_amax,
    mse_amax,
    percentile_amax,
)
from trtforge.errors import CalibrationError, ConfigError
from trtforge.scales import INT8_MAX, Scales, TensorScale

Method = Literal["entropy", "percentile", "mse", "max"]

METHODS: tuple[Method, ...] = ("entropy", "percentile", "mse", "max")

FLOOR_AMAX = INT8_MAX * 2.0**-24
"""Least ``amax`` that is chosen: its scale, 2**-24, is the smallest that FP16 can hold."""


def choose(
    observations: Observations, method: Method | str = "entropy", *, percentile: float = 99.99
) -> Scales:
    """Choose the INT8 range of every observed tensor.

    A tensor that held nothing but zeros, or whose threshold is below `FLOOR_AMAX`, gets `FLOOR_AMAX` and is
    marked ``floored``: its scale stays a number that FP16 and FP32 can divide by.

    Parameters
    ----------
    observations : what `collect` counted.
    method : ``entropy``, ``percentile``, ``mse`` or ``max``.
    percentile : for ``percentile`` alone; above 0, up to 100.

    Raises
    ------
    ConfigError : the method is none of those, or ``percentile`` is out of range.
    CalibrationError : a tensor was never observed.
    """
    check_method(method, percentile)
    return Scales(
        tensors={
            name: _choose_one(name, histogram, method, percentile)
            for name, histogram in observations.tensors.items()
        },
        method=method,
        model_sha256=observations.model_sha256,
        feeds_sha256=observations.feeds_sha256,
        num_clips=observations.num_clips,
        rejected=dict(observations.rejected),
    )


def check_method(method: str, percentile: float) -> None:
    """Refuse at once what `choose` would refuse after the clips have run.

    Raises
    ------
    ConfigError : the method is unknown, or ``percentile`` is out of range.
    """
    if method not in METHODS:
        raise ConfigError(
            f"no calibration method {method!r}; there are {', '.join(METHODS)}", settings=("method",)
        )
    check_percentile(percentile)


def _choose_one(name: str, histogram: Histogram, method: str, percentile: float) -> TensorScale:
    if histogram.num_values == 0:
        raise CalibrationError(
            f"no range can be chosen for tensor {name!r}: it held no values in any clip",
            hint="leave the tensor out, or add clips for which it is not empty",
        )
    amax = _threshold(histogram, method, percentile)
    floored = amax < FLOOR_AMAX
    if floored:
        amax = FLOOR_AMAX
    return TensorScale(
        amax=amax,
        observed_max=histogram.observed_max,
        clipped_share=histogram.share_above(amax),
        floored=floored,
    )


def _threshold(histogram: Histogram, method: str, percentile: float) -> float:
    if method == "entropy":
        return entropy_amax(histogram)
    if method == "percentile":
        return percentile_amax(histogram, percentile)
    if method == "mse":
        return mse_amax(histogram)
    return max_amax(histogram)
