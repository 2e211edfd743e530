"""Whisper's log-mel features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.audio import LogMel
from trtforge.errors import InputError

SAMPLING_RATE = 16_000
HOP_LENGTH = 160
_N_FFT = 400
# Power below which a band counts as silent, and decades kept below a window's loudest.
_FLOOR, _RANGE = 1e-10, 8.0


def whisper_features(
    audio: NDArray[np.floating[Any]], *, num_mels: int, num_frames: int
) -> NDArray[np.float32]:
    """Compute the features of one window.

    The samples are followed by zeros up to the window's length and mirrored at both ends; power on Slaney's
    mel scale, ``log10``, cut at 8 decades below the window's loudest, then ``(x + 4) / 4``.

    Parameters
    ----------
    audio : floating [num_samples] at 16 kHz, at most the window's length.
    num_mels : bands, 80 or 128.
    num_frames : frames of the window, 3000 for 30 s.

    Returns
    -------
    float32 [num_mels, num_frames].

    Raises
    ------
    InputError : there are more samples than the window has.
    MissingExtraError : librosa is not installed.

    References
    ----------
    A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022, section 2.2.
    """
    num_samples = num_frames * HOP_LENGTH
    if len(audio) > num_samples:
        raise InputError(f"a window has {num_samples} samples at most, got {len(audio)}")
    window = np.zeros(num_samples)
    window[: len(audio)] = audio
    mel = LogMel(num_mels=num_mels, n_fft=_N_FFT, win_length=_N_FFT, hop_length=HOP_LENGTH)
    power = mel.power(np.pad(window, _N_FFT // 2, mode="reflect"))[:, :num_frames]
    levels = np.log10(np.maximum(power, _FLOOR))
    result: NDArray[np.float32] = ((np.maximum(levels, levels.max() - _RANGE) + 4) / 4).astype(np.float32)
    return result
