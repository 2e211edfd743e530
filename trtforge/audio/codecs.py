"""Send samples through a lossy codec and back."""

from __future__ import annotations

import io
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trtforge._optional import require
from trtforge.errors import ConfigError

CodecKind = Literal["opus", "mp3", "vorbis"]

_FORMATS = {"opus": ("OGG", "OPUS"), "mp3": ("MP3", "MPEG_LAYER_III"), "vorbis": ("OGG", "VORBIS")}


def code(
    samples: NDArray[np.float32], sampling_rate: int, kind: CodecKind, compression: float
) -> NDArray[np.float32]:
    """Encode and decode through libsndfile.

    Parameters
    ----------
    samples : float32 [num_samples]. Beyond full scale they are coded at full scale and scaled up again.
    sampling_rate : of the samples, in Hz.
    kind : ``opus``, ``mp3`` or ``vorbis``.
    compression : 0 (best quality) to 1 (smallest); for Opus the bit rate is 256 - 250 compression kbit/s.

    Returns
    -------
    float32 [num_samples], as decoded, cut or padded with zeros to the length of the input.

    Raises
    ------
    ConfigError : the kind is unknown or compression is not in 0 to 1.
    MissingExtraError : soundfile is not installed.
    """
    if kind not in _FORMATS:
        raise ConfigError(f"codec must be one of {', '.join(get_args(CodecKind))}, not {kind!r}")
    if not 0 <= compression <= 1:
        raise ConfigError(f"compression must lie in 0 to 1, not {compression}")
    soundfile = require("soundfile", "code audio")
    container, subtype = _FORMATS[kind]
    peak = max(1.0, float(np.abs(samples).max(initial=0.0)))
    encoded = io.BytesIO()
    soundfile.write(
        encoded,
        samples / peak,
        sampling_rate,
        format=container,
        subtype=subtype,
        compression_level=compression,
    )
    encoded.seek(0)
    decoded, _ = soundfile.read(encoded, dtype="float32")
    out = np.zeros(len(samples), np.float32)
    kept = min(len(samples), len(decoded))
    out[:kept] = decoded[:kept] * np.float32(peak)
    return out
