"""Rooms: a response that decays as asked, and speech in it."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve

from calibration_sets.synthesis.noises import SAMPLING_RATE, Samples


def impulse_response(
    rt60: float, rng: np.random.Generator, *, direct_to_reverberant_db: float | None = None
) -> Samples:
    """Make the response of a room: direct sound, early reflections, an exponentially decaying tail.

    Parameters
    ----------
    rt60 : reverberation time in seconds, after which the tail has fallen by 60 dB.
    rng : the source of chance.
    direct_to_reverberant_db : energy of the direct sound over that of all the rest; drawn from 0 to 6 dB
        where not given.

    Returns
    -------
    float32 [num_samples]; sample 0 is the direct sound and is 1.

    References
    ----------
    ISO 3382-2: reverberation time as the time of a 60 dB decay.
    J. D. Polack, "La transmission de l'énergie sonore dans les salles", 1988: noise under an exponential.
    """
    if rt60 <= 0:
        raise ValueError(f"rt60 must be positive, not {rt60}")
    ratio_db = rng.uniform(0, 6) if direct_to_reverberant_db is None else direct_to_reverberant_db
    num_samples = round(1.2 * rt60 * SAMPLING_RATE)
    seconds = np.arange(num_samples) / SAMPLING_RATE
    decay = np.exp(-np.log(1000.0) * seconds / rt60)
    onset = round(rng.uniform(0.004, 0.012) * SAMPLING_RATE)
    rest = rng.standard_normal(num_samples) * decay
    rest[:onset] = 0.0
    early = rng.integers(onset, round(0.05 * SAMPLING_RATE), size=10)
    rest[early] += rng.choice((-1.0, 1.0), size=10) * rng.uniform(2.0, 5.0, size=10) * decay[early]
    rest *= 10 ** (-ratio_db / 20) / np.sqrt(np.sum(np.square(rest)))
    rest[0] = 1.0
    return np.asarray(rest, dtype=np.float32)


def reverberate(x: Samples, response: Samples) -> Samples:
    """Put speech into a room, keeping its length and its place in time.

    Parameters
    ----------
    x : float32 [num_samples].
    response : float32 [any], direct sound at sample 0.

    Returns
    -------
    float32 [num_samples].
    """
    return np.asarray(fftconvolve(x, response)[: len(x)], dtype=np.float32)
