"""How far INT8 values lie from what was observed, by the range that was chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trtforge.calibration.histogram import Histogram
from trtforge.calibration.observations import Observations
from trtforge.calibration.thresholds import mse_amax
from trtforge.scales import INT8_MAX, Scales


@dataclass(frozen=True)
class PoorRange:
    """A tensor whose range costs far more than another would.

    Parameters
    ----------
    tensor : its name.
    snr_db : of its values in INT8, with the range that was chosen.
    best_snr_db : the same with the range of the least squared error.
    """

    tensor: str
    snr_db: float
    best_snr_db: float


def poor_ranges(
    observations: Observations, scales: Scales, *, below_db: float = 25.0, gain_db: float = 6.0
) -> tuple[PoorRange, ...]:
    """Find the tensors whose range is far from the one of the least squared error.

    These are those below 25 dB that another range would lift by more than 6 dB. Entropy, which weighs
    magnitudes by how often they come, cuts off the few large ones that hold most of the energy, as the
    product of a gate has them; a maximum that comes once leaves all others few levels.

    Parameters
    ----------
    observations : of the tensors, or more.
    scales : their ranges.
    below_db, gain_db : the two limits.

    Returns
    -------
    The tensors, the one with most to gain first.
    """
    found = []
    for name, scale in scales.tensors.items():
        histogram = observations.tensors[name]
        if histogram.observed_max == 0:
            continue
        chosen, best = (int8_snr_db(histogram, amax) for amax in (scale.amax, mse_amax(histogram)))
        if chosen < below_db and best - chosen > gain_db:
            found.append(PoorRange(name, chosen, best))
    return tuple(sorted(found, key=lambda row: row.snr_db - row.best_snr_db))


def int8_snr_db(histogram: Histogram, amax: float) -> float:
    """Return the SNR of observed values that are rounded to INT8, in dB, each at the centre of its bin.

    Parameters
    ----------
    histogram : counts of |x|, int64 [4096], not all of them zero.
    amax : the magnitude that level 127 stands for, positive.
    """
    bins = np.flatnonzero(histogram.counts)
    counts, values = histogram.counts[bins].astype(np.float64), bins + 0.5
    step = amax / histogram.bin_width / INT8_MAX
    levels = np.minimum(np.rint(values / step), INT8_MAX)
    noise = float(counts @ np.square(values - levels * step))
    return 10 * math.log10(float(counts @ np.square(values)) / noise) if noise else math.inf
