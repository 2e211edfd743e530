"""Entropy calibration written straight from its definition: slow, one loop a sentence."""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit
def divergence(counts, num_kept, num_levels):
    """KL(P || Q) in nats when the first ``num_kept`` bins are kept and quantized to ``num_levels``."""
    p = np.zeros(num_kept)
    for i in range(num_kept):
        p[i] = counts[i]
    for i in range(num_kept, len(counts)):
        p[num_kept - 1] += counts[i]

    level_of = np.empty(num_kept, np.int64)
    mass = np.zeros(num_levels)
    occupied = np.zeros(num_levels)
    for i in range(num_kept):
        level_of[i] = i * num_levels // num_kept
        mass[level_of[i]] += counts[i]
        if counts[i] > 0:
            occupied[level_of[i]] += 1
    q = np.zeros(num_kept)
    for i in range(num_kept):
        if counts[i] > 0:
            q[i] = mass[level_of[i]] / occupied[level_of[i]]

    p_total = p.sum()
    q_total = q.sum()
    result = 0.0
    for i in range(num_kept):
        if p[i] > 0:
            if q[i] == 0:
                return math.inf
            result += p[i] * math.log(p[i] * q_total / (q[i] * p_total))
    return result / p_total


@numba.njit
def index(counts, num_levels):
    """Number of bins to keep, the largest of those whose divergences are within 1e-9 nats of the least."""
    divergences = np.empty(len(counts) + 1 - num_levels)
    for num_kept in range(num_levels, len(counts) + 1):
        divergences[num_kept - num_levels] = divergence(counts, num_kept, num_levels)
    least = divergences.min()
    best = 0
    for candidate in range(len(divergences)):
        if divergences[candidate] <= least + 1e-9:
            best = candidate
    return num_levels + best


def first_as_second(counts):
    """Counts whose first bin has the count of the second, unless that leaves none at all."""
    replaced = counts.copy()
    replaced[0] = replaced[1]
    return replaced if replaced.any() else counts
