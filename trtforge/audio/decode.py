"""Decode audio files to mono at one sampling rate, without trusting their headers."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trtforge._optional import require
from trtforge.audio._headers import (
    MAX_SAMPLING_RATE,
    MIN_SAMPLING_RATE,
    HeaderError,
    check_format,
    check_header,
)
from trtforge.errors import ClipError, ConfigError
from trtforge.units import Seconds, format_duration

AudioSource: TypeAlias = "str | os.PathLike[str] | bytes"

MAX_DURATION = Seconds(4 * 3600.0)

# One read of at most 8 MiB of decoded samples, all channels together.
_BLOCK_VALUES = 1 << 20
# Leaves the resampler room to overshoot inside float32.
_MAX_MAGNITUDE = 1e30


@dataclass(frozen=True)
class AudioInfo:
    """What an audio file says of itself, checked for plausibility.

    Parameters
    ----------
    sampling_rate : samples a second and channel, in Hz.
    num_channels : number of channels.
    num_samples : samples of one channel.
    """

    sampling_rate: int
    num_channels: int
    num_samples: int

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sampling_rate


def decode_audio(
    source: AudioSource, *, sampling_rate: int, clip_id: str | None = None, max_duration: float = MAX_DURATION
) -> NDArray[np.float32]:
    """Decode an audio file to mono samples at the sampling rate asked for.

    WAV, FLAC, Ogg (Vorbis, Opus), MP3 and AIFF are read, 1 to 8 channels at 8 to 192 kHz. Integer samples
    are divided by their full scale (8 and 16 bits exactly, 24 bits exactly, 32 bits rounded to float32);
    float samples are kept, also beyond 1. Channels are averaged, then resampled with a band limit. The
    file is read in blocks, so memory follows what is decoded and never what a header promises.

    Parameters
    ----------
    source : path of the file, or its bytes.
    sampling_rate : sampling rate to return, 8000 to 192000 Hz.
    clip_id : id that errors name; the file's name by default.
    max_duration : longest clip that is read, in seconds; 4 hours by default.

    Returns
    -------
    float32 [num_samples], at least one sample, all finite.

    Raises
    ------
    ClipError : the file is missing, empty, truncated, damaged, of another kind or outside these limits, or
        holds no samples or samples that are not finite.
    ConfigError : ``sampling_rate`` is out of range.
    MissingExtraError : soundfile or soxr is not installed.

    References
    ----------
    The SoX Resampler library (soxr), quality "HQ": a linear-phase low-pass at 20 bits.
    """
    clip_id = _name(source) if clip_id is None else clip_id
    blocks = audio_blocks(source, sampling_rate=sampling_rate, clip_id=clip_id, max_duration=max_duration)
    audio: NDArray[np.float32] = np.concatenate(list(blocks))
    if not audio.size:
        raise ClipError(f"clip {clip_id!r}: no sample is left at {sampling_rate} Hz", clip_id=clip_id)
    return audio


def audio_blocks(
    source: AudioSource, *, sampling_rate: int, clip_id: str | None = None, max_duration: float = MAX_DURATION
) -> Iterator[NDArray[np.float32]]:
    """Yield what `decode_audio` returns, a block at a time, in memory that does not grow with the file.

    Takes the same parameters and raises the same errors as `decode_audio`, while it is gone through; the
    file is open from the first block to the last. A block may be empty.
    """
    if not MIN_SAMPLING_RATE <= sampling_rate <= MAX_SAMPLING_RATE:
        raise ConfigError(
            f"sampling_rate must lie in {MIN_SAMPLING_RATE} to {MAX_SAMPLING_RATE} Hz, got {sampling_rate}"
        )
    clip_id = _name(source) if clip_id is None else clip_id
    with open_audio(source, clip_id, max_duration) as (sound, info):
        resampler = None
        if info.sampling_rate != sampling_rate:
            soxr = require("soxr", "resample audio")
            resampler = soxr.ResampleStream(
                info.sampling_rate, sampling_rate, 1, dtype="float64", quality="HQ"
            )
        for mono in _mono_blocks(sound, info, clip_id):
            piece = mono if resampler is None else resampler.resample_chunk(mono)
            yield piece.astype(np.float32)
        if resampler is not None:
            yield resampler.resample_chunk(np.zeros(0), last=True).astype(np.float32)


def probe_audio(
    source: AudioSource, *, clip_id: str | None = None, max_duration: float = MAX_DURATION
) -> AudioInfo:
    """Read a file's header and check it, without decoding the samples.

    Takes the same parameters and raises the same errors as `decode_audio`, save those that only the samples
    can show.
    """
    clip_id = _name(source) if clip_id is None else clip_id
    with open_audio(source, clip_id, max_duration) as (_, info):
        return info


@contextmanager
def open_audio(source: AudioSource, clip_id: str, max_duration: float) -> Iterator[tuple[Any, AudioInfo]]:
    """Open an audio file whose header was checked, as ``soundfile.SoundFile`` and what its header says.

    Raises
    ------
    ClipError : the file, or what is read of it inside the ``with`` block, is not audio that can be read.
    """
    soundfile = require("soundfile", "read audio files")
    try:
        with _open_file(source) as file:
            checked = check_header(file, file.seek(0, io.SEEK_END))
            file.seek(0)
            # A descriptor hides the file's name, from which soundfile would guess the format.
            handle = checked.fileno() if isinstance(checked, io.FileIO) else checked
            with soundfile.SoundFile(handle, closefd=False) as sound:
                check_format(sound.channels, sound.samplerate)
                info = AudioInfo(sound.samplerate, sound.channels, sound.frames)
                if info.num_samples == 0:
                    raise HeaderError("the file holds zero samples")
                if info.duration > max_duration:
                    raise HeaderError(
                        f"the header promises {info.num_samples} frames at {info.sampling_rate} Hz, at most "
                        f"{format_duration(max_duration)} are read"
                    )
                yield sound, info
    except HeaderError as error:
        raise ClipError(f"clip {clip_id!r}: {error}", clip_id=clip_id) from None
    except OSError as error:
        raise ClipError(f"clip {clip_id!r}: cannot read the file: {error}", clip_id=clip_id) from error
    except soundfile.LibsndfileError as error:
        raise ClipError(
            f"clip {clip_id!r}: the decoder refuses the file: {error.error_string}", clip_id=clip_id
        ) from error


def _open_file(source: AudioSource) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    path = Path(source)
    try:
        if path.exists() and not path.is_file():
            raise HeaderError(f"{path.name} is not a regular file")
        return path.open("rb", buffering=0)  # the decoder shares the descriptor
    except ValueError as error:  # a zero byte, or half of a surrogate pair
        raise HeaderError(f"no file can be called {str(path)!r}: {error}") from error


def _mono_blocks(sound: Any, info: AudioInfo, clip_id: str) -> Iterator[NDArray[np.float64]]:
    """Yield float64 [num_samples] blocks of the channels' mean, all that the header promises."""
    done = 0
    while done < info.num_samples:
        count = min(_BLOCK_VALUES // info.num_channels, info.num_samples - done)
        block = sound.read(count, dtype="float64", always_2d=True)
        if not np.abs(block).max(initial=0.0) <= _MAX_MAGNITUDE:
            bad = np.flatnonzero(~(np.abs(block) <= _MAX_MAGNITUDE).all(axis=1))
            first = (done + bad[0]) / info.sampling_rate
            raise ClipError(
                f"clip {clip_id!r}: {bad.size} samples from {first:.2f} s on are not finite or beyond "
                f"{_MAX_MAGNITUDE:.0e}",
                clip_id=clip_id,
            )
        if not len(block):
            raise ClipError(
                f"clip {clip_id!r}: the header promises {info.num_samples} frames, decoding ends after "
                f"{done}: the file is truncated or damaged",
                clip_id=clip_id,
            )
        done += len(block)
        yield block[:, 0] if info.num_channels == 1 else block.mean(axis=1)


def _name(source: AudioSource) -> str:
    return f"{len(source)} bytes" if isinstance(source, bytes) else Path(source).name
