"""Cut a recording into windows at its quietest places, and leave silence out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import ConfigError
from trtforge.speech.whisper.features import SAMPLING_RATE

# Levels are taken over so many samples: 20 ms, one step of Whisper's time.
STEP = SAMPLING_RATE // 50


@dataclass(frozen=True)
class CutSettings:
    """Where windows begin and end.

    Parameters
    ----------
    window_seconds : longest window.
    search_seconds : the cut is made at the quietest place in so much of the window's end.
    silence_db : steps of 20 ms whose RMS is below so many decibels of full scale are silent.
    padding_seconds : silence that is kept before and after sound.
    pause_seconds : a window ends where so much silence follows.

    Raises
    ------
    ConfigError : a setting is out of range.
    """

    window_seconds: float = 30.0
    search_seconds: float = 10.0
    silence_db: float = -60.0
    padding_seconds: float = 0.2
    pause_seconds: float = 3.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isfinite(value):
                raise ConfigError(f"{name} must be finite, got {value}", settings=(name,))
        if not 0.1 <= self.search_seconds <= self.window_seconds:
            raise ConfigError(
                f"search_seconds must lie in 0.1 to window_seconds, got {self.search_seconds} of "
                f"{self.window_seconds}",
                settings=("search_seconds", "window_seconds"),
            )
        if not self.silence_db < 0:
            raise ConfigError(f"silence_db must be below 0, got {self.silence_db}", settings=("silence_db",))
        if not 0 <= self.padding_seconds <= self.pause_seconds / 2:
            raise ConfigError(
                f"padding_seconds must lie in 0 to half of pause_seconds, got {self.padding_seconds} of "
                f"{self.pause_seconds}",
                settings=("padding_seconds", "pause_seconds"),
            )


@dataclass(frozen=True)
class AudioWindow:
    """A piece of a recording that has sound in it.

    Parameters
    ----------
    begin : its first sample in the recording, at 16 kHz.
    audio : float32 [num_samples].
    """

    begin: int
    audio: NDArray[np.float32]

    @property
    def start(self) -> float:
        """When it begins, in seconds."""
        return self.begin / SAMPLING_RATE

    @property
    def end(self) -> float:
        """When it ends, in seconds."""
        return (self.begin + len(self.audio)) / SAMPLING_RATE


def cut(blocks: Iterable[NDArray[np.float32]], settings: CutSettings) -> Iterator[AudioWindow]:
    """Yield the windows of a recording, in order; memory does not grow with its length.

    Parameters
    ----------
    blocks : float32 [num_samples] at 16 kHz, of any length, as from `trtforge.audio.decode.audio_blocks`.
    settings : where to cut.
    """
    longest = int(settings.window_seconds * SAMPLING_RATE) // STEP * STEP
    reach = longest + int(settings.pause_seconds * SAMPLING_RATE)
    held, begin = np.zeros(0, np.float32), 0
    blocks = iter(blocks)
    is_over = False
    while True:
        while not is_over and len(held) < reach:
            block = next(blocks, None)
            if block is None:
                is_over = True
            else:
                held = np.concatenate([held, block])
        if not len(held):
            return
        first, end, rest = _next_window(held, longest, settings, is_over)
        if end > first:
            yield AudioWindow(begin + first, held[first:end].copy())
        held, begin = held[rest:], begin + rest


def _next_window(
    audio: NDArray[np.float32], longest: int, settings: CutSettings, is_over: bool
) -> tuple[int, int, int]:
    """Return where the next window begins and ends, and what is done with, in samples."""
    levels = levels_db(audio)
    sounds = np.flatnonzero(levels >= settings.silence_db)
    padding = int(settings.padding_seconds * SAMPLING_RATE) // STEP
    if not sounds.size:
        return 0, 0, len(audio) if is_over else (len(audio) // STEP - padding) * STEP
    first = max(0, int(sounds[0]) - padding)
    if first and not is_over:
        return 0, 0, first * STEP  # what follows is read before it is said where the window ends
    num_longest = longest // STEP
    inside = sounds[sounds < first + num_longest]
    pauses = np.flatnonzero(np.diff(inside) * STEP >= settings.pause_seconds * SAMPLING_RATE)
    last = int(inside[pauses[0]] if pauses.size else inside[-1]) + 1
    after = sounds[sounds >= last]
    next_sound = int(after[0]) if after.size else len(levels)
    if (next_sound - last) * STEP >= settings.pause_seconds * SAMPLING_RATE or (is_over and not after.size):
        end = min(last + padding, first + num_longest)
        return first * STEP, min(end * STEP, len(audio)), min(end * STEP, len(audio))
    num_searched = int(settings.search_seconds * SAMPLING_RATE) // STEP
    end = first + num_longest
    place = end - num_searched + _quietest(levels[end - num_searched : end])
    return first * STEP, place * STEP, place * STEP


def levels_db(audio: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the RMS of each 20 ms in decibels of full scale, the last piece as long as it is."""
    num_steps = -(-len(audio) // STEP)
    squares = np.zeros(num_steps * STEP)
    squares[: len(audio)] = np.square(audio, dtype=np.float64)
    counts = np.full(num_steps, STEP)
    counts[-1:] -= num_steps * STEP - len(audio)
    power = squares.reshape(num_steps, STEP).sum(axis=1) / np.maximum(counts, 1)
    decibels: NDArray[np.float64] = 10 * np.log10(np.maximum(power, 1e-20))
    return decibels


def _quietest(levels: NDArray[np.float64]) -> int:
    """Return the middle of the quietest 200 ms."""
    width = min(10, len(levels))
    means = np.convolve(levels, np.ones(width) / width, mode="valid")
    return int(means.argmin()) + width // 2
