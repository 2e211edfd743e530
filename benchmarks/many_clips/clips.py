"""Write a folder of short clips, some of them bad, whose names say what each of them is."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from trtforge.audio import ClipSet

RATE = 16_000
# Kinds of audio that cannot be read, by the start of their names.
BAD_AUDIO = ("empty", "text", "truncated", "nan", "short")


@dataclass(frozen=True)
class Mixture:
    """How many clips of each kind.

    Parameters
    ----------
    good : clips that can be transcribed.
    twins : further names for good clips' files.
    bad_audio : clips that cannot be read, the kinds in turn.
    crash : clips that end the process that runs them.
    lost : clips on which the GPU seems lost.
    fail : clips on which the network raises.
    """

    good: int
    twins: int
    bad_audio: int
    crash: int
    lost: int
    fail: int

    @property
    def num_clips(self) -> int:
        """All of them."""
        return self.good + self.twins + self.bad_audio + self.crash + self.lost + self.fail


def write_clips(folder: Path, mixture: Mixture, clips: ClipSet, *, seconds: float = 1.0) -> None:
    """Cut clips into pieces of one length, and spoil some.

    Parameters
    ----------
    folder : new or empty; kinds are spread evenly by name.
    mixture : how many of each kind.
    clips : where the speech is taken from.
    seconds : length of each piece.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pieces = _pieces(clips, int(seconds * RATE))
    for number in range(mixture.good):
        soundfile.write(_path(folder, number, mixture.good, "good"), next(pieces), RATE)
    goods = sorted(folder.iterdir())
    for number in range(mixture.twins):
        shutil.copy(goods[number], _path(folder, number, mixture.twins, "twin"))
    for kind in ("crash", "lost", "fail"):
        for number in range(getattr(mixture, kind)):
            soundfile.write(_path(folder, number, getattr(mixture, kind), kind), next(pieces), RATE)
    for number in range(mixture.bad_audio):
        kind = BAD_AUDIO[number % len(BAD_AUDIO)]
        _write_bad(_path(folder, number, mixture.bad_audio, kind), kind, next(pieces), number)


def kind_of(clip_id: str) -> str:
    """Return what a clip is, by its id."""
    return clip_id.split("-")[1]


def _path(folder: Path, number: int, count: int, kind: str) -> Path:
    # Names sort by where the clip stands among all, so that kinds come mixed.
    return folder / f"{number / count:.6f}-{kind}-{number:05}.wav"


def _pieces(clips: ClipSet, length: int) -> Iterator[NDArray[np.float32]]:
    # Each round begins a little later, so that no two pieces are the same.
    for offset in itertools.count(0, RATE // 100):
        for clip in clips:
            audio = clips.audio(clip, sampling_rate=RATE)
            for start in range(offset, len(audio) - length + 1, length):
                yield audio[start : start + length]


def _write_bad(path: Path, kind: str, audio: NDArray[np.float32], number: int) -> None:
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text(f"not audio, number {number}")
    elif kind == "nan":
        spoilt = audio.copy()
        spoilt[number % len(spoilt)] = np.nan
        soundfile.write(path, spoilt, RATE, subtype="FLOAT")
    elif kind == "short":
        soundfile.write(path, audio[: 1 + number % 50], RATE)
    else:
        soundfile.write(path, audio, RATE)
        path.write_bytes(path.read_bytes()[:20])
