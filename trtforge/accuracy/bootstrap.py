"""Say how far an error rate may be off, by drawing the clips again and again."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trtforge.errors import ConfigError, InputError

# Clip draws held in memory at once; bounds the working set to about 32 MiB.
_MAX_DRAWS = 1 << 22


@dataclass(frozen=True)
class BootstrapConfig:
    """How confidence intervals are made.

    Parameters
    ----------
    num_resamples : how often the clips are drawn.
    confidence : share of the resamples that the interval holds, between 0 and 1.
    seed : of the draws; the same seed and clips give the same interval.
    """

    num_resamples: int = 2000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_resamples < 100:
            raise ConfigError(f"num_resamples must be at least 100, got {self.num_resamples}")
        if not 0 < self.confidence < 1:
            raise ConfigError(f"confidence must lie between 0 and 1, got {self.confidence}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of what it is about."""

    low: float
    high: float


def rate_interval(
    errors: ArrayLike, units: ArrayLike, config: BootstrapConfig | None = None
) -> Interval | None:
    """Estimate the interval of an error rate.

    Clips are drawn with replacement and their counts summed, so that a long clip weighs by its words and
    errors within one clip may depend on each other. Draws without a single reference unit are left out.

    Parameters
    ----------
    errors : errors of each clip, int [num_clips].
    units : reference words or characters of each clip, int [num_clips].
    config : number of draws, confidence and seed.

    Returns
    -------
    Interval of the rate as a fraction; None for fewer than two clips or no reference units.

    Raises
    ------
    InputError : the two do not have one entry for each clip.

    References
    ----------
    M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation",
    ICASSP 2004.
    """
    config = config or BootstrapConfig()
    sums = resample_sums(_columns(errors, units), config)
    return percentile_interval(_ratio(sums[:, 0], sums[:, 1]), config.confidence, num_clips=np.size(units))


def difference_interval(
    reference_errors: ArrayLike,
    candidate_errors: ArrayLike,
    units: ArrayLike,
    config: BootstrapConfig | None = None,
) -> Interval | None:
    """Estimate the interval of the candidate's error rate minus the reference's.

    Both systems are scored on the same drawn clips, so that what is hard for both cancels out and the
    interval is narrower than two separate ones suggest.

    Parameters
    ----------
    reference_errors : errors of the reference system on each clip, int [num_clips].
    candidate_errors : errors of the candidate on each clip, int [num_clips].
    units : reference words or characters of each clip, int [num_clips].
    config : number of draws, confidence and seed.

    Returns
    -------
    Interval of the difference as a fraction; None for fewer than two clips or no reference units.

    Raises
    ------
    InputError : the three do not have one entry for each clip.

    References
    ----------
    M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation",
    ICASSP 2004.
    """
    config = config or BootstrapConfig()
    sums = resample_sums(_columns(reference_errors, candidate_errors, units), config)
    change = _ratio(sums[:, 1] - sums[:, 0], sums[:, 2])
    return percentile_interval(change, config.confidence, num_clips=np.size(units))


def resample_sums(columns: NDArray[np.int64], config: BootstrapConfig) -> NDArray[np.int64]:
    """Draw the clips with replacement and sum their counts.

    Parameters
    ----------
    columns : counts of each clip, int64 [num_clips, num_columns]; all columns share each draw.
    config : number of draws and seed.

    Returns
    -------
    Sums, int64 [num_resamples, num_columns].
    """
    num_clips = columns.shape[0]
    sums = np.zeros((config.num_resamples, columns.shape[1]), dtype=np.int64)
    if num_clips == 0:
        return sums
    generator = np.random.default_rng(config.seed)
    step = max(1, _MAX_DRAWS // num_clips)
    for start in range(0, config.num_resamples, step):
        part = sums[start : start + step]
        drawn = generator.integers(num_clips, size=(part.shape[0], num_clips))
        for column in range(columns.shape[1]):
            part[:, column] = columns[drawn, column].sum(axis=1)
    return sums


def percentile_interval(
    samples: NDArray[np.float64], confidence: float, *, num_clips: int
) -> Interval | None:
    """Cut the same share off both ends of resampled values; NaN values are left out."""
    samples = samples[~np.isnan(samples)]
    if num_clips < 2 or samples.size == 0:
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    ratio = np.full(part.shape, math.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _columns(*counts: ArrayLike) -> NDArray[np.int64]:
    arrays = [np.asarray(count, dtype=np.int64) for count in counts]
    if any(array.ndim != 1 or array.shape != arrays[0].shape for array in arrays):
        shapes = ", ".join(str(list(array.shape)) for array in arrays)
        raise InputError(f"the counts must have one entry for each clip, got shapes {shapes}")
    return np.stack(arrays, axis=1)
