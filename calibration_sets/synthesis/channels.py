"""Channels: the telephone's band and coder, and lossy codecs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, resample_poly, sosfiltfilt

from calibration_sets.synthesis.noises import SAMPLING_RATE, Samples
from trtforge.audio.codecs import CodecKind, code

_MU = 255.0


def telephone(x: Samples) -> Samples:
    """Send speech through a telephone: 300 to 3400 Hz at 8 kHz, 8-bit mu-law.

    The filter has no phase, so the speech stays where it was. The coder sees the clip at a peak of 0.5.

    Parameters
    ----------
    x : float32 [num_samples], 16 kHz.

    Returns
    -------
    float32 [num_samples], 16 kHz, empty above 4 kHz.

    References
    ----------
    ITU-T G.712: the band of a telephone channel.
    """
    peak = float(np.abs(x).max(initial=0.0))
    if peak == 0.0:
        return np.array(x, dtype=np.float32)
    band = butter(6, (300.0, 3400.0), btype="bandpass", fs=8000, output="sos")
    narrow = sosfiltfilt(band, resample_poly(np.asarray(x, dtype=np.float64) * (0.5 / peak), 1, 2))
    wide = resample_poly(mu_law(narrow), 2, 1)[: len(x)] * (peak / 0.5)
    return np.asarray(wide, dtype=np.float32)


def mu_law(x: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Quantize samples to 8 bits on the mu-law curve and expand them again.

    Parameters
    ----------
    x : float [any]; what lies outside -1 to 1 is clipped.

    Returns
    -------
    float64 [same], of at most 256 different values.

    References
    ----------
    ITU-T G.711: mu-law with mu = 255, here in its continuous form.
    """
    clipped = np.clip(np.asarray(x, dtype=np.float64), -1.0, 1.0)
    level = np.sign(clipped) * np.log1p(_MU * np.abs(clipped)) / np.log1p(_MU)
    level = (np.round(level * 127.5 - 0.5) + 0.5) / 127.5
    return np.asarray(np.sign(level) * np.expm1(np.abs(level) * np.log1p(_MU)) / _MU, dtype=np.float64)


def codec(x: Samples, kind: CodecKind, compression: float) -> Samples:
    """Send float32 [num_samples] at 16 kHz through `trtforge.audio.codecs.code`.

    Raises
    ------
    ConfigError : the kind is unknown or compression is not in 0 to 1.
    MissingExtraError : soundfile is not installed.
    """
    return code(x, SAMPLING_RATE, kind, compression)
