"""Sum samples up: medians, spreads, and ratios of turns that stood side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 2000


def summarise_times(samples_ms: Mapping[str, Sequence[float]], baseline: str) -> list[dict[str, Any]]:
    """Return a row for each engine.

    Parameters
    ----------
    samples_ms : engine to the time of one inference in each repetition, in milliseconds.
    baseline : the engine that the others are held against, repetition by repetition.

    Returns
    -------
    Rows with the median and the 10th and 90th percentile of the times, in milliseconds, and the same of the
    ratio to the baseline in the same repetition, with a 95 % bootstrap interval of the median ratio.
    """
    base = np.asarray(samples_ms[baseline])
    rows = []
    for name, samples in samples_ms.items():
        times = np.asarray(samples)
        ratios = times / base
        rows.append(
            {
                "engine": name,
                "repetitions": int(times.size),
                **_spread("ms", times),
                **_spread("ratio", ratios),
                "ratio_interval": median_interval(ratios),
            }
        )
    return rows


def median_interval(values: NDArray[np.float64], *, seed: int = 0) -> list[float]:
    """Return the 95 % interval of a median by the percentile bootstrap.

    Parameters
    ----------
    values : float64 [num_samples].
    seed : of the draws.

    References
    ----------
    B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7, 1979.
    """
    draws = np.random.default_rng(seed).integers(values.size, size=(_RESAMPLES, values.size))
    medians = np.median(values[draws], axis=1)
    return [round(float(value), 5) for value in np.percentile(medians, [2.5, 97.5])]


def _spread(name: str, values: NDArray[np.float64]) -> dict[str, float]:
    low, median, high = (round(float(value), 5) for value in np.percentile(values, [10, 50, 90]))
    return {f"median_{name}": median, f"p10_{name}": low, f"p90_{name}": high}
