"""Measure how far a candidate's outputs lie from the reference's, clip by clip, without keeping them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import InputError


@dataclass(frozen=True)
class OutputMetrics:
    """Sums over compared values; two of them add up to the metrics of both together.

    Parameters
    ----------
    num_values : values compared.
    reference_energy : sum of squares of the reference.
    candidate_energy : sum of squares of the candidate.
    error_energy : sum of squares of their difference.
    product : sum of their products.
    absolute_error : sum of the absolute differences.
    max_abs_error : largest absolute difference, in output units.
    num_relative : values whose reference is not zero; only they have a relative error.
    relative_error : sum over them of the absolute difference by the reference's magnitude.
    max_rel_error : largest of these.
    num_positions : places where the largest entry of the last axis was compared.
    num_agreeing : places among them where both name the same entry.
    num_skipped : values left out because one side was not finite.
    """

    num_values: int = 0
    reference_energy: float = 0.0
    candidate_energy: float = 0.0
    error_energy: float = 0.0
    product: float = 0.0
    absolute_error: float = 0.0
    max_abs_error: float = 0.0
    num_relative: int = 0
    relative_error: float = 0.0
    max_rel_error: float = 0.0
    num_positions: int = 0
    num_agreeing: int = 0
    num_skipped: int = 0

    @property
    def snr_db(self) -> float:
        """Signal to noise, 10 log10 of reference over error energy, in dB; infinite where nothing differs.

        NaN where all values were left out because they were not finite.
        """
        if self.num_skipped and not self.num_values:
            return math.nan
        if self.error_energy == 0:
            return math.inf
        if self.reference_energy == 0:
            return -math.inf
        return 10 * math.log10(self.reference_energy / self.error_energy)

    @property
    def cosine(self) -> float:
        """Cosine of the angle between the two, -1 to 1; NaN where one is all zeros."""
        norm = math.sqrt(self.reference_energy) * math.sqrt(self.candidate_energy)
        return self.product / norm if norm else math.nan

    @property
    def mean_abs_error(self) -> float:
        """Mean absolute difference, in output units; NaN where nothing was compared."""
        return self.absolute_error / self.num_values if self.num_values else math.nan

    @property
    def mean_rel_error(self) -> float:
        """Mean relative difference where the reference is not zero, a fraction; NaN where it always is."""
        return self.relative_error / self.num_relative if self.num_relative else math.nan

    @property
    def argmax_agreement(self) -> float:
        """Share of positions where both name the same largest entry (top 1); NaN where there are none."""
        return self.num_agreeing / self.num_positions if self.num_positions else math.nan

    def __add__(self, other: OutputMetrics) -> OutputMetrics:
        mine, its = asdict(self), asdict(other)
        added = {key: mine[key] + its[key] for key in mine}
        largest = {key: max(mine[key], its[key]) for key in ("max_abs_error", "max_rel_error")}
        return OutputMetrics(**{**added, **largest})

    def to_json(self) -> dict[str, Any]:
        """Return the sums and the figures made of them; a figure that is not finite becomes null."""
        figures = {
            "snr_db": self.snr_db,
            "cosine": self.cosine,
            "mean_abs_error": self.mean_abs_error,
            "mean_rel_error": self.mean_rel_error,
            "argmax_agreement": self.argmax_agreement,
        }
        return asdict(self) | {key: x if math.isfinite(x) else None for key, x in figures.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> OutputMetrics:
        """Make the metrics of what `to_json` gave; a sum that cannot be one is a ValueError."""
        sums: dict[str, Any] = {
            x.name: (int if x.type == "int" else float)(value[x.name]) for x in fields(cls)
        }
        for name, number in sums.items():
            if not math.isfinite(number) or (number < 0 and name != "product"):
                raise ValueError(f"{name} is {number}")
        return cls(**sums)


def measure_output(reference: NDArray[Any], candidate: NDArray[Any]) -> OutputMetrics:
    """Compare one output of two runners.

    Parameters
    ----------
    reference : any shape; numbers or booleans.
    candidate : of the same shape; the dtypes may differ.

    Returns
    -------
    Sums in double precision. The argmax is taken over the last axis, and only for floating outputs of rank
    two and more with at least two entries there.

    Raises
    ------
    InputError : the shapes differ.
    """
    if reference.shape != candidate.shape:
        raise InputError(
            f"cannot compare outputs of shapes {list(reference.shape)} and {list(candidate.shape)}"
        )
    x, y = reference.astype(np.float64), candidate.astype(np.float64)
    finite = np.isfinite(x) & np.isfinite(y)
    num_positions = num_agreeing = 0
    if np.issubdtype(reference.dtype, np.floating) and x.ndim >= 2 and x.shape[-1] >= 2:
        same = (x.argmax(axis=-1) == y.argmax(axis=-1))[finite.all(axis=-1)]
        num_positions, num_agreeing = same.size, int(np.count_nonzero(same))
    x, y = x[finite], y[finite]
    error = np.abs(x - y)
    relative = error[x != 0] / np.abs(x[x != 0])
    return OutputMetrics(
        num_values=x.size,
        reference_energy=float(x @ x),
        candidate_energy=float(y @ y),
        error_energy=float(error @ error),
        product=float(x @ y),
        absolute_error=float(error.sum()),
        max_abs_error=float(error.max(initial=0.0)),
        num_relative=relative.size,
        relative_error=float(relative.sum()),
        max_rel_error=float(relative.max(initial=0.0)),
        num_positions=num_positions,
        num_agreeing=num_agreeing,
        num_skipped=int(finite.size - x.size),
    )
