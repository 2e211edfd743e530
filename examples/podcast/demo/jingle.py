"""A jingle of five seconds, synthesised: four chords and a rising melody."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLING_RATE = 16_000
BEAT_S = 0.6
PEAK = 0.3

# Semitones above A3: C major, A minor, F major, G major; then a note for each half beat.
_CHORDS = ((3, 7, 10), (0, 3, 7), (-4, 0, 3), (-2, 2, 5))
_MELODY = (15, 19, 22, 19, 12, 15, 19, 15, 8, 12, 15, 20, 22, 26, 27, 27)


def jingle() -> NDArray[np.float32]:
    """Return float32 [num_samples] at 16 kHz, peak at 0.3, which fades out at its end."""
    total = np.zeros(round((8 * BEAT_S + 1.0) * SAMPLING_RATE))
    for number, chord in enumerate(_CHORDS):
        for semitone in chord:
            _add(total, _note(semitone, 2.2 * BEAT_S, decay_s=0.9), number * 2 * BEAT_S)
    for number, semitone in enumerate(_MELODY):
        _add(total, 0.8 * _note(semitone, 0.9 * BEAT_S, decay_s=0.25), number * BEAT_S / 2)
    fade = np.minimum(1.0, np.linspace(8.0, 0.0, len(total)))
    return np.asarray(total * fade * PEAK / np.abs(total).max(), dtype=np.float32)


def _note(semitone: int, seconds: float, *, decay_s: float) -> NDArray[np.float64]:
    time = np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    hertz = 220.0 * 2 ** (semitone / 12)
    waves = sum(np.sin(2 * np.pi * hertz * k * time) / k**1.5 for k in range(1, 7))
    return np.asarray(waves * np.minimum(1.0, time / 0.01) * np.exp(-time / decay_s))


def _add(total: NDArray[np.float64], sound: NDArray[np.float64], start_s: float) -> None:
    start = round(start_s * SAMPLING_RATE)
    stop = min(start + len(sound), len(total))
    total[start:stop] += sound[: stop - start]
