"""Where audio comes from: a file, played or read, or a microphone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trtforge.audio.decode import audio_blocks

SAMPLING_RATE = 16_000
BLOCK_SECONDS = 0.128

Samples = NDArray[np.float32]


class Source(Protocol):
    """What gives audio.

    Attributes
    ----------
    name : for people.
    is_live : whether audio arrives as time goes by, so that who is slow falls behind.
    """

    name: str
    is_live: bool

    @property
    def num_lost(self) -> int:
        """Samples at 16 kHz that arrived and found no place."""
        ...

    def blocks(self) -> Iterator[Samples]:
        """Yield blocks of float32 [num_samples] at 16 kHz until the recording ends.

        What was lost is silence of the same length. A live source yields no block before its end would have
        been recorded.
        """
        ...


class FileSource:
    """A recording from a file that soundfile reads.

    Parameters
    ----------
    path : the file.
    paced : whether a block is given when it would have been recorded, as from a microphone; or as fast as
        blocks are asked for.

    Raises
    ------
    ClipError : while blocks are given: the file cannot be read, or is damaged.
    """

    num_lost = 0

    def __init__(self, path: Path, *, paced: bool) -> None:
        self.name, self.is_live, self._path = path.name, paced, path

    def blocks(self) -> Iterator[Samples]:
        """Yield the recording in blocks of 0.128 s."""
        size = round(BLOCK_SECONDS * SAMPLING_RATE)
        rest = np.zeros(0, np.float32)
        begin, num_samples = time.perf_counter(), 0
        for decoded in audio_blocks(self._path, sampling_rate=SAMPLING_RATE, clip_id=self._path.name):
            rest = np.concatenate([rest, decoded])
            while len(rest) >= size:
                block, rest = rest[:size], rest[size:]
                num_samples += size
                self._wait(begin + num_samples / SAMPLING_RATE)
                yield block
        if len(rest):
            self._wait(begin + (num_samples + len(rest)) / SAMPLING_RATE)
            yield rest

    def _wait(self, until: float) -> None:
        left = until - time.perf_counter()
        if self.is_live and left > 0:
            time.sleep(left)
