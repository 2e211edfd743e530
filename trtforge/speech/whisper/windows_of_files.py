"""The windows of many recordings, one after another, decoded as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trtforge.audio.decode import AudioSource, audio_blocks
from trtforge.errors import ClipError
from trtforge.speech.whisper.cutting import AudioWindow, CutSettings, cut
from trtforge.speech.whisper.features import SAMPLING_RATE


@dataclass
class Recording:
    """What is known of a recording so far.

    Attributes
    ----------
    num_samples : read so far, at 16 kHz.
    error : why it cannot be read to its end, if it cannot.
    language, language_probability : of its first window.
    """

    source: AudioSource
    num_samples: int = 0
    error: ClipError | None = None
    language: str | None = None
    language_probability: float | None = None
    found: list[object] = field(default_factory=list)


def windows_of(
    recordings: Sequence[Recording], settings: CutSettings, max_duration: float
) -> Iterator[tuple[Recording, AudioWindow]]:
    """Yield each recording's windows in order; one that cannot be read on keeps its error and is left."""
    for recording in recordings:
        try:
            for window in cut(_counted(recording, max_duration), settings):
                yield recording, window
        except ClipError as error:
            recording.error = error


def _counted(recording: Recording, max_duration: float) -> Iterator[NDArray[np.float32]]:
    for block in audio_blocks(recording.source, sampling_rate=SAMPLING_RATE, max_duration=max_duration):
        recording.num_samples += len(block)
        yield block
