"""Cut a stretch out of an audio file without losing a bit of it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from trtforge._optional import require
from trtforge.audio.decode import MAX_DURATION, open_audio
from trtforge.errors import ClipError
from trtforge.units import num_samples

# Integer encodings are kept as they are. All others are cut as 24-bit integers: the header of a
# floating-point WAV holds the time of writing, and no two copies of it would have the same SHA-256.
_SUBTYPES = {"PCM_16": "PCM_16", "PCM_32": "PCM_32", "PCM_U8": "PCM_16", "PCM_S8": "PCM_16"}
_MAX_LATE = 0.1


def cut_audio(path: Path, offset: float, duration: float, *, clip_id: str) -> bytes:
    """Return a stretch of an audio file as the bytes of a WAV with the same rate and channels.

    Parameters
    ----------
    path : of the file.
    offset : where the stretch begins, in seconds.
    duration : of the stretch, in seconds; it may reach 0.1 s beyond the end of the file and is then shorter.
    clip_id : id that errors name.

    Raises
    ------
    ClipError : the file cannot be read, is shorter than the stretch, or exceeds full scale in it.
    """
    soundfile = require("soundfile", "cut audio files")
    with open_audio(path, clip_id, MAX_DURATION) as (sound, info):
        start, count = num_samples(offset, info.sampling_rate), num_samples(duration, info.sampling_rate)
        if offset < 0 or count < 1 or offset + duration > info.duration + _MAX_LATE:
            raise ClipError(
                f"clip {clip_id!r}: asked for {duration:.2f} s from {offset:.2f} s on, the file holds "
                f"{info.duration:.2f} s",
                clip_id=clip_id,
            )
        subtype = _SUBTYPES.get(sound.subtype, "PCM_24")
        sound.seek(start)
        samples = sound.read(count, dtype="int32" if sound.subtype in _SUBTYPES else "float64")
    if not samples.size:
        raise ClipError(f"clip {clip_id!r}: no sample lies at {offset:.2f} s", clip_id=clip_id)
    if samples.dtype == np.float64 and not np.abs(samples).max() <= 1:
        raise ClipError(
            f"clip {clip_id!r}: samples beyond full scale cannot be cut out; write the file anew, less loud",
            clip_id=clip_id,
        )
    out = io.BytesIO()
    soundfile.write(out, samples, info.sampling_rate, format="WAV", subtype=subtype)
    return out.getvalue()
