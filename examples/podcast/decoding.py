"""Decode any recording into 16 kHz mono, a block at a time."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from examples.podcast.records import Source
from trtforge._files import file_sha256
from trtforge._progress import OnProgress
from trtforge.audio.decode import audio_blocks, probe_audio
from trtforge.errors import ClipError
from trtforge.units import format_bytes

SAMPLING_RATE = 16_000
_FULL_SCALE = 0.9995


def readable(episode: Path, work: Path) -> Path:
    """Return a file that soundfile reads: the episode itself, or what ffmpeg makes of it.

    Parameters
    ----------
    episode : the recording, in any format that soundfile or ffmpeg knows.
    work : folder for the converted file.

    Raises
    ------
    ClipError : neither can read it, or ffmpeg is needed and is not installed.
    """
    try:
        probe_audio(episode)
        return episode
    except ClipError as refusal:
        if not episode.is_file():
            raise
        program = shutil.which("ffmpeg")
        if program is None:
            raise ClipError(
                refusal.message,
                clip_id=refusal.clip_id,
                hint="formats that soundfile does not know, such as AAC, are read where ffmpeg is installed",
            ) from refusal
        converted = converted_file(work)
        work.mkdir(parents=True, exist_ok=True)
        # A playlist must not make it fetch other addresses.
        given = ["-protocol_whitelist", "file", "-i", f"file:{episode.resolve()}"]
        # A file that breaks off is damaged, not short.
        strict = ["-nostdin", "-v", "error", "-xerror", "-y"]
        command = [program, *strict, *given, "-vn", "-rf64", "auto", str(converted)]
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
        if done.returncode != 0 or not converted.is_file():
            converted.unlink(missing_ok=True)
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise ClipError(
                f"clip {episode.name!r}: neither soundfile nor ffmpeg can read it: "
                f"{said[-1] if said else 'ffmpeg gave no reason'}",
                clip_id=episode.name,
            ) from refusal
        return converted


def converted_file(work: Path) -> Path:
    """Return where `readable` puts what ffmpeg makes of a recording."""
    return work / "converted.wav"


def is_whole(path: Path) -> bool:
    """Return whether a sound file is there and does not break off before its end."""
    try:
        with soundfile.SoundFile(os.fsencode(path)) as sound:
            sound.seek(sound.frames - 1)
            return len(sound.read(1)) == 1
    except soundfile.LibsndfileError:
        return False


@contextmanager
def new_sound(
    path: Path, sampling_rate: int, num_channels: int, **kind: Any
) -> Iterator[soundfile.SoundFile]:
    """Open a sound file to write.

    Parameters
    ----------
    path : of the file.
    sampling_rate, num_channels : of its samples.
    kind : format and encoding, as soundfile names them.

    Raises
    ------
    OSError : it cannot be written, since the disk is full for example.
    """
    try:
        with soundfile.SoundFile(os.fsencode(path), "w", sampling_rate, num_channels, **kind) as sound:
            yield sound
    except soundfile.LibsndfileError as error:
        free = format_bytes(shutil.disk_usage(path.parent).free)
        raise OSError(f"{path} cannot be written, {free} are free: {error.error_string}") from error


def decode(episode: Path, readable_file: Path, output: Path, on_progress: OnProgress) -> Source:
    """Write the recording as 16 kHz mono FLAC and measure it on the way.

    Parameters
    ----------
    episode : the recording, whose digest is taken.
    readable_file : what soundfile reads of it.
    output : the FLAC file; replaced when it is whole.
    on_progress : called with samples done and in all.

    Raises
    ------
    ClipError : the recording is damaged, empty, or longer than four hours.
    OSError : the output cannot be written.
    """
    info = probe_audio(readable_file, clip_id=episode.name)
    total = round(info.duration * SAMPLING_RATE)
    num_samples = clipped = 0
    peak = 0.0
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_suffix(".part")
    try:
        with new_sound(temporary, SAMPLING_RATE, 1, subtype="PCM_16", format="FLAC") as sound:
            for block in audio_blocks(readable_file, sampling_rate=SAMPLING_RATE, clip_id=episode.name):
                magnitude = np.abs(block)
                num_samples += len(block)
                clipped += int(np.count_nonzero(magnitude >= _FULL_SCALE))
                peak = max(peak, float(magnitude.max(initial=0.0)))
                sound.write(np.clip(block, -1.0, 1.0))
                on_progress(min(num_samples, total), total)
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)
    return Source(
        sha256=file_sha256(episode),
        duration=num_samples / SAMPLING_RATE,
        sampling_rate=info.sampling_rate,
        num_channels=info.num_channels,
        peak=round(peak, 6),
        clipped_share=clipped / max(1, num_samples),
    )
