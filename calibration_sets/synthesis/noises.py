"""Background sounds made from scratch: music, mains hum with a fan, a street; and babble of given speech."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

SAMPLING_RATE = 16_000

NoiseKind = Literal["babble", "music", "hum", "street"]
Samples = npt.NDArray[np.float32]
_Floats = npt.NDArray[np.float64]

_TRIADS = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14), (2, 5, 9), (4, 7, 11))  # I vi IV V ii iii
_PENTATONIC = (0, 2, 4, 7, 9, 12, 14, 16)


def noise(
    kind: NoiseKind,
    num_samples: int,
    rng: np.random.Generator,
    babble_sources: Sequence[Samples] | None = None,
) -> Samples:
    """Make a background sound.

    Parameters
    ----------
    kind : ``babble`` (4 to 8 voices at once), ``music`` (chords, melody, drums), ``hum`` (50 or 60 Hz and its
        harmonics, and a fan) or ``street`` (rumble, passing vehicles, at times a horn).
    num_samples : length at 16 kHz.
    rng : the source of chance.
    babble_sources : for babble, at least four utterances [num_samples_i] of any lengths.

    Returns
    -------
    float32 [num_samples] with RMS 1.

    Raises
    ------
    ValueError : the kind is unknown, the length is not positive, or babble has fewer than four sources.
    """
    if num_samples <= 0:
        raise ValueError(f"num_samples must be positive, not {num_samples}")
    if kind == "babble":
        sound = _babble(num_samples, rng, babble_sources or ())
    elif kind in _MAKERS:
        sound = _MAKERS[kind](num_samples, rng)
    else:
        raise ValueError(f"noise kind must be one of {', '.join(get_args(NoiseKind))}, not {kind!r}")
    return np.asarray(sound / _rms(sound), dtype=np.float32)


def _rms(x: _Floats | Samples) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def _babble(num_samples: int, rng: np.random.Generator, sources: Sequence[Samples]) -> _Floats:
    if len(sources) < 4:
        raise ValueError(f"babble needs at least 4 utterances, not {len(sources)}")
    count = int(rng.integers(4, min(8, len(sources)) + 1))
    total = np.zeros(num_samples)
    for index in rng.choice(len(sources), size=count, replace=False):
        source = np.asarray(sources[index], dtype=np.float64)
        source = np.roll(source / _rms(source), int(rng.integers(len(source))))
        total += np.resize(source, num_samples) * 10 ** (rng.uniform(-3, 3) / 20)
    return total


def _coloured(num_samples: int, rng: np.random.Generator, slope: float, lowest_hz: float = 20.0) -> _Floats:
    """Gaussian noise whose amplitude falls as frequency to the power -slope (0.5: pink, 1: brown)."""
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    hertz = np.fft.rfftfreq(num_samples, 1 / SAMPLING_RATE)
    gain = np.maximum(hertz, lowest_hz) ** -slope
    gain[hertz < lowest_hz / 2] = 0.0
    coloured = np.fft.irfft(spectrum * gain, num_samples)
    return np.asarray(coloured / _rms(coloured), dtype=np.float64)


def _tone(
    hertz: float, seconds: _Floats, harmonics: int, rolloff: float, rng: np.random.Generator
) -> _Floats:
    """Sum harmonics k with amplitude k to the power -rolloff, below the Nyquist frequency."""
    k = np.arange(1, min(harmonics, int(0.45 * SAMPLING_RATE / hertz)) + 1)
    phase = rng.uniform(0, 2 * np.pi, len(k))
    waves = np.sin(2 * np.pi * hertz * k[:, None] * seconds[None, :] + phase[:, None])
    return np.asarray((k**-rolloff) @ waves, dtype=np.float64)


def _add(total: _Floats, sound: _Floats, start: int) -> None:
    stop = min(start + len(sound), len(total))
    if start < stop:
        total[start:stop] += sound[: stop - start]


def _music(num_samples: int, rng: np.random.Generator) -> _Floats:
    total = np.zeros(num_samples)
    beat_s = 60.0 / rng.uniform(80, 140)
    root_hz = 110.0 * 2 ** (rng.integers(12) / 12)
    brightness = rng.uniform(1.0, 2.0)
    beat = round(beat_s * SAMPLING_RATE)
    chord_s = np.arange(round(4.2 * beat_s * SAMPLING_RATE)) / SAMPLING_RATE
    note_s = np.arange(round(1.5 * beat_s * SAMPLING_RATE)) / SAMPLING_RATE
    hit_s = np.arange(round(0.25 * SAMPLING_RATE)) / SAMPLING_RATE
    chord_shape = np.minimum(chord_s / 0.03, 1.0) * np.exp(-chord_s / (2.5 * beat_s))
    note_shape = np.minimum(note_s / 0.01, 1.0) * np.exp(-note_s / (0.5 * beat_s))
    kick = np.sin(2 * np.pi * (50 * hit_s + 4 * (1 - np.exp(-hit_s / 0.03)))) * np.exp(-hit_s / 0.07)
    progression = rng.permutation(len(_TRIADS))[:4]
    first = -int(rng.integers(4 * beat))  # the clip falls somewhere into the piece
    for number, start in enumerate(range(first, num_samples, beat)):
        if number % 4 == 0:
            for semitone in _TRIADS[progression[number // 4 % 4]]:
                chord = _tone(root_hz * 2 ** (semitone / 12), chord_s, 10, brightness, rng) * chord_shape
                _add(total, 0.35 * chord[max(-start, 0) :], max(start, 0))
        for half in (0, beat // 2):
            at = start + half
            if rng.random() < 0.6:
                semitone = _PENTATONIC[int(rng.integers(len(_PENTATONIC)))]
                note = _tone(2 * root_hz * 2 ** (semitone / 12), note_s, 6, brightness, rng) * note_shape
                _add(total, 0.5 * note[max(-at, 0) :], max(at, 0))
            hat = rng.standard_normal(len(hit_s)) * np.exp(-hit_s / 0.02)
            _add(total, 0.12 * hat[max(-at, 0) :], max(at, 0))
        if number % 2 == 0:
            _add(total, 0.8 * kick[max(-start, 0) :], max(start, 0))
        else:
            snare = rng.standard_normal(len(hit_s)) * np.exp(-hit_s / 0.06)
            _add(total, 0.3 * snare[max(-start, 0) :], max(start, 0))
    return total + 1e-4 * rng.standard_normal(num_samples)


def _hum(num_samples: int, rng: np.random.Generator) -> _Floats:
    seconds = np.arange(num_samples) / SAMPLING_RATE
    mains = _tone(50.0 if rng.random() < 0.5 else 60.0, seconds, 24, rng.uniform(0.8, 1.5), rng)
    turning_hz = rng.uniform(70, 180)
    wobble = 1 + 0.2 * np.sin(2 * np.pi * rng.uniform(0.3, 2) * seconds + rng.uniform(0, 2 * np.pi))
    fan = _coloured(num_samples, rng, 0.7) * wobble + 0.3 * _tone(turning_hz, seconds, 8, 1.0, rng)
    return mains / _rms(mains) + rng.uniform(0.7, 1.5) * fan / _rms(fan)


def _street(num_samples: int, rng: np.random.Generator) -> _Floats:
    seconds = np.arange(num_samples) / SAMPLING_RATE
    slow = 1 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.1, 0.5) * seconds + rng.uniform(0, 2 * np.pi))
    total = _coloured(num_samples, rng, rng.uniform(0.6, 0.9)) * slow
    for _ in range(int(rng.integers(1, 4))):
        centre, width = rng.uniform(0, seconds[-1]), rng.uniform(0.4, 1.2)
        swell = np.exp(-0.5 * np.square((seconds - centre) / width))
        tyres = _coloured(num_samples, rng, 0.4)
        # The pitch of the engine falls while the vehicle passes.
        engine_hz = rng.uniform(60, 120) * (1 - 0.06 * np.tanh((seconds - centre) / width))
        phase = 2 * np.pi * np.cumsum(engine_hz) / SAMPLING_RATE
        engine = sum(np.sin(k * phase) / k for k in range(1, 9))
        total += rng.uniform(0.8, 2.0) * swell * (tyres + 0.5 * engine)
    if rng.random() < 0.4:
        blow = seconds[: round(rng.uniform(0.2, 0.6) * SAMPLING_RATE)]
        hertz = rng.uniform(350, 450)
        horn = _tone(hertz, blow, 12, 0.7, rng) + _tone(hertz * 1.26, blow, 12, 0.7, rng)
        fade = np.minimum(1.0, np.minimum(blow, blow[-1] - blow) / 0.02)
        _add(total, rng.uniform(0.5, 1.0) * horn * fade, int(rng.integers(num_samples)))
    return total


_MAKERS: dict[str, Callable[[int, np.random.Generator], _Floats]] = {
    "music": _music,
    "hum": _hum,
    "street": _street,
}
