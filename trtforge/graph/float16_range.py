"""Say from observed magnitudes whether FP16 can hold a tensor: a pure function of its histogram."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOAT16_MAX = 65504.0
"""Largest finite FP16 number."""

HEADROOM = 2.0
"""How far above the largest observed magnitude the next clip may go."""

MAX_ROUNDING_ERROR = 0.01
"""Largest root-mean-square error of rounding to FP16, as a share of the tensor's root mean square."""

_SMALLEST_STEP = 2.0**-24
_FRACTION_BITS = 10


class Magnitudes(Protocol):
    """Counts of the magnitudes of one tensor, as `trtforge.calibration.Histogram` has them."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of values in each of the equal bins from zero, zeros themselves left out."""

    @property
    def bin_width(self) -> float:
        """Width of a bin, in activation units."""

    @property
    def observed_max(self) -> float:
        """Largest finite magnitude, in activation units."""


MagnitudesByTensor: TypeAlias = Mapping[str, Magnitudes]


@dataclass(frozen=True)
class Peak:
    """All that a scale tells of a tensor's `Magnitudes`: enough to see that it overflows.

    Parameters
    ----------
    observed_max : as in `Magnitudes`.
    """

    observed_max: float
    bin_width: float = 1.0

    @property
    def counts(self) -> NDArray[np.int64]:
        """No counts: that it does not vanish is taken for granted."""
        return np.zeros(0, np.int64)


def float16_fault(observed: Magnitudes) -> str | None:
    """Say what is wrong with a tensor in FP16, or None where nothing is.

    A tensor overflows where `HEADROOM` times its largest magnitude is above `FLOAT16_MAX`. It vanishes where
    rounding to FP16, whose steps below 2**-14 no longer shrink, leaves an error above `MAX_ROUNDING_ERROR`.
    Small values beside large ones do no harm: the error is set against the tensor as a whole.

    Returns
    -------
    What is wrong, to be read behind the tensor's name.
    """
    largest = observed.observed_max
    if largest > FLOAT16_MAX:
        return f"reaches {largest:.3g}, and FP16 ends at {FLOAT16_MAX:.0f}"
    if largest * HEADROOM > FLOAT16_MAX:
        return (
            f"reaches {largest:.3g}, which leaves less than a factor of {HEADROOM:g} to FP16's end, "
            f"{FLOAT16_MAX:.0f}"
        )
    error = float16_rounding_error(observed)
    if error > MAX_ROUNDING_ERROR:
        return f"reaches only {largest:.3g}, and rounding to FP16 changes it by {100 * error:.2g} %"
    return None


def float16_rounding_error(observed: Magnitudes) -> float:
    """Estimate the error of rounding a tensor to FP16 from its histogram.

    Values are taken as evenly spread within a bin, and as rounded by an error that is evenly spread over half
    a step to both sides, whose mean square is a twelfth of the step's. What rounds to zero is lost whole.

    Returns
    -------
    Root-mean-square error as a share of the root mean square: 1 where all is lost, 0 for a tensor of zeros.

    References
    ----------
    IEEE 754-2019, binary16.
    B. Widrow and I. Kollar, "Quantization Noise", 2008, chapter 12.
    """
    bins = np.flatnonzero(observed.counts)
    if not bins.size:
        return 0.0
    counts = observed.counts[bins].astype(np.float64)
    # In units of a bin, as squares of the smallest widths underflow; over the bin, x**2 has this mean.
    energy = bins.astype(np.float64) ** 2 + bins + 1 / 3
    middles = (bins + 0.5) * observed.bin_width
    steps = np.maximum(np.exp2(np.floor(np.log2(middles)) - _FRACTION_BITS), _SMALLEST_STEP)
    with np.errstate(over="ignore"):
        noise = np.minimum((steps / observed.bin_width) ** 2 / 12, energy)
    lost = (bins + 1) * observed.bin_width <= _SMALLEST_STEP / 2
    noise[lost] = energy[lost]
    return float(np.sqrt((counts * noise).sum() / (counts * energy).sum()))
