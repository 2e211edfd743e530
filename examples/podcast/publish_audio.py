"""The MP3 file that the feed encloses."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import soundfile

from examples.podcast.decoding import new_sound
from trtforge._progress import OnProgress
from trtforge.audio._mpeg import with_length
from trtforge.audio.decode import audio_blocks, probe_audio

_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_BLOCK = 1 << 18
# About 64 kbit/s a channel at 44.1 kHz.
_COMPRESSION = 0.6


def write_mp3(readable_file: Path, output: Path, on_progress: OnProgress) -> bool:
    """Copy an MP3 file, or encode anything else as MP3, a block at a time.

    An MP3 file that does not tell its length gets a header that does, by which players show it.
    One or two channels at a rate that MP3 knows stay as they are; everything else becomes mono at 44.1 kHz.

    Parameters
    ----------
    readable_file : what soundfile reads.
    output : the MP3 file.
    on_progress : called with samples done and in all.

    Returns
    -------
    Whether it was encoded anew.

    Raises
    ------
    OSError : the MP3 file cannot be written.
    """
    with soundfile.SoundFile(os.fsencode(readable_file)) as sound:
        if (sound.format, sound.subtype) == ("MP3", "MPEG_LAYER_III"):
            with readable_file.open("rb") as file, output.open("wb") as target:
                told = with_length(file, readable_file.stat().st_size)
                told.seek(0)
                shutil.copyfileobj(told, target)
            return False
    info = probe_audio(readable_file)
    as_it_is = info.num_channels <= 2 and info.sampling_rate in _RATES
    rate = info.sampling_rate if as_it_is else 44100
    total, done = round(info.duration * rate), 0
    with new_sound(
        output,
        rate,
        info.num_channels if as_it_is else 1,
        subtype="MPEG_LAYER_III",
        format="MP3",
        compression_level=_COMPRESSION,
        bitrate_mode="VARIABLE",
    ) as target:
        if as_it_is:
            with soundfile.SoundFile(os.fsencode(readable_file)) as sound:
                while len(block := sound.read(_BLOCK, dtype="float32", always_2d=True)):
                    target.write(block.clip(-1.0, 1.0))
                    done += len(block)
                    on_progress(done, total)
        else:
            for mono in audio_blocks(readable_file, sampling_rate=rate):
                target.write(mono.clip(-1.0, 1.0))
                done += len(mono)
                on_progress(min(done, total), total)
    return True
