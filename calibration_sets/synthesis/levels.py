"""How loud speech is, and how loud what is heard behind it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import minimum_filter1d

from calibration_sets.synthesis.noises import SAMPLING_RATE, Samples

_FRAME = SAMPLING_RATE // 50
_ACTIVE_RANGE_DB = 30.0


def active_frames(x: Samples) -> npt.NDArray[np.bool_]:
    """Find the samples where someone speaks: 20 ms frames within 30 dB of the loudest one.

    Parameters
    ----------
    x : float32 [num_samples], speech without noise.

    Returns
    -------
    bool [num_samples].

    References
    ----------
    ITU-T P.56 measures the active speech level in the same spirit, with a smoothed envelope and hangover.
    """
    num_frames = -(-len(x) // _FRAME)
    padded = np.zeros(num_frames * _FRAME)
    padded[: len(x)] = x
    power = np.square(padded).reshape(num_frames, _FRAME).mean(axis=1)
    active = power > power.max(initial=0.0) * 10 ** (-_ACTIVE_RANGE_DB / 10)
    return np.repeat(active, _FRAME)[: len(x)]


def active_rms(x: Samples) -> float:
    """Measure the RMS over the active frames.

    Parameters
    ----------
    x : float32 [num_samples].

    Returns
    -------
    RMS in units of full scale.

    Raises
    ------
    ValueError : all samples are zero.
    """
    active = active_frames(x)
    if not active.any():
        raise ValueError("the clip is silent; it has no active speech")
    return float(np.sqrt(np.mean(np.square(x[active], dtype=np.float64))))


def mix(speech: Samples, background: Samples, snr_db: float) -> Samples:
    """Add a background at a signal-to-noise ratio that holds over the active speech.

    Parameters
    ----------
    speech, background : float32 [num_samples], of equal length.
    snr_db : 20 log10 of RMS of speech over RMS of background, both over the frames active in the speech.

    Returns
    -------
    float32 [num_samples]: the speech unchanged, the background scaled.

    Raises
    ------
    ValueError : the lengths differ, or either is silent where speech is active.
    """
    if len(speech) != len(background):
        raise ValueError(f"speech has {len(speech)} samples, background {len(background)}")
    active = active_frames(speech)
    heard = float(np.sqrt(np.mean(np.square(background[active], dtype=np.float64)))) if active.any() else 0.0
    if heard == 0.0:
        raise ValueError("speech or background is silent; no ratio can be set")
    gain = active_rms(speech) / heard * 10 ** (-snr_db / 20)
    return np.asarray(speech + np.float32(gain) * background, dtype=np.float32)


def set_loudness(x: Samples, dbfs: float, *, clip: bool = False, ceiling: float = 0.98) -> Samples:
    """Set the level of the active speech.

    Peaks above the ceiling are limited smoothly over 5 ms and the gain raised until the level is met. With
    ``clip`` they are cut off at full scale instead, as an overdriven input does.

    Parameters
    ----------
    x : float32 [num_samples].
    dbfs : RMS over the active frames in dB below full scale, so negative.
    clip : cut the peaks instead of limiting them.
    ceiling : highest absolute sample after limiting.

    Returns
    -------
    float32 [num_samples] within -1 to 1; the level is met within 0.1 dB below -12 dBFS.
    """
    target = 10 ** (dbfs / 20)
    gain = target / active_rms(x)
    if clip:
        return np.asarray(np.clip(x * gain, -1.0, 1.0), dtype=np.float32)
    out = _limit(x * np.float32(gain), ceiling)
    for _ in range(12):
        reached = active_rms(out)
        if abs(20 * np.log10(reached / target)) < 0.02:
            break
        gain *= target / reached
        out = _limit(x * np.float32(gain), ceiling)
    return out


def _limit(x: Samples, ceiling: float) -> Samples:
    if float(np.abs(x).max(initial=0.0)) <= ceiling:
        return np.asarray(x, dtype=np.float32)
    width = SAMPLING_RATE // 200 + 1
    needed = np.minimum(1.0, ceiling / np.maximum(np.abs(x, dtype=np.float64), 1e-9))
    # The mean of the minimum over one window never exceeds what a sample in its middle needs.
    held = minimum_filter1d(needed, 2 * width - 1, mode="nearest")
    window = np.hanning(width + 2)[1:-1]
    padded = np.pad(held, width // 2, mode="edge")
    smooth = np.convolve(padded, window / window.sum(), mode="valid")
    return np.asarray(np.clip(x * smooth[: len(x)], -ceiling, ceiling), dtype=np.float32)
