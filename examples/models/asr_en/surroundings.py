"""Noises, rooms and codecs to train in.

Made apart from `calibration_sets/synthesis/distort.py` on purpose: the sets that the network is calibrated
and tested on must not hold the very noises that it was trained on.
"""

from __future__ import annotations

import io

import numpy as np
import soundfile
from numpy.typing import NDArray

SAMPLING_RATE = 16_000

Samples = NDArray[np.float32]


def _coloured(size: int, slope: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Gaussian noise whose power falls by ``slope`` powers of the frequency above 40 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(size))
    hertz = np.fft.rfftfreq(size, 1 / SAMPLING_RATE)
    return np.fft.irfft(spectrum / np.maximum(hertz / 40, 1) ** (slope / 2), size)


def _music(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    time = np.arange(size) / SAMPLING_RATE
    out = np.zeros(size)
    beat = rng.uniform(0.25, 0.7)
    root = 55 * 2 ** (rng.integers(0, 24) / 12)
    brightness = rng.uniform(0.4, 1.6)
    for start in np.arange(0, size / SAMPLING_RATE, beat):
        begin, end = (
            int(start * SAMPLING_RATE),
            min(size, int((start + rng.uniform(1, 4) * beat) * SAMPLING_RATE)),
        )
        local = time[: end - begin]
        for step in rng.choice([0, 2, 3, 4, 5, 7, 9, 10, 12, 16, 19], rng.integers(1, 5)):
            pitch = root * 2 ** (step / 12)
            partials = np.arange(1, int(min(12, 7000 / pitch)) + 1)
            phases = rng.uniform(0, 6.28, len(partials))[:, None]
            tone = (
                np.sin(2 * np.pi * pitch * partials[:, None] * local + phases)
                / partials[:, None] ** brightness
            ).sum(0)
            out[begin:end] += tone * np.exp(-local * rng.uniform(0.5, 8)) * rng.uniform(0.3, 1)
        if rng.random() < 0.6:
            hit = rng.standard_normal(end - begin) * np.exp(-local * rng.uniform(15, 80))
            out[begin:end] += hit * rng.uniform(0.2, 1.5)
    return out


def _hum(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    time = np.arange(size) / SAMPLING_RATE
    mains = rng.choice([50.0, 60.0]) * rng.uniform(0.99, 1.01)
    out = _coloured(size, rng.uniform(0.5, 2), rng) / 4
    out *= rng.uniform(0.1, 2) / (out.std() + 1e-9)
    for harmonic in range(1, rng.integers(4, 24)):
        out += (
            rng.uniform(0, 1)
            / harmonic ** rng.uniform(0.3, 1.2)
            * np.sin(2 * np.pi * mains * harmonic * time + rng.uniform(0, 6.28))
        )
    return out


def _street(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    time = np.arange(size) / SAMPLING_RATE
    out = _coloured(size, rng.uniform(0.6, 2.2), rng)
    out /= out.std() + 1e-9
    for _ in range(rng.integers(0, 5)):
        passing = _coloured(size, rng.uniform(0.3, 1.5), rng)
        centre, width = rng.uniform(0, time[-1]), rng.uniform(0.3, 2.5)
        out += passing / passing.std() * rng.uniform(0.5, 4) * np.exp(-(((time - centre) / width) ** 2))
    for _ in range(rng.integers(0, 3)):
        pitch, begin = rng.uniform(250, 900), rng.uniform(0, time[-1])
        inside = (time > begin) & (time < begin + rng.uniform(0.2, 1))
        out += inside * rng.uniform(0.5, 2) * np.sign(np.sin(2 * np.pi * pitch * time)) * 0.5
    return out


def _static(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return _coloured(size, rng.uniform(-0.3, 1.2), rng)


def noise_row(seed: int) -> Samples:
    """Make twelve seconds of music, hum, street or static, at unit power."""
    rng = np.random.default_rng(seed)
    noise = (_music, _hum, _street, _static)[seed % 4](12 * SAMPLING_RATE, rng)
    return np.asarray(noise / np.sqrt(np.mean(noise**2) + 1e-12), np.float32)


def room_row(seed: int) -> Samples:
    """Make an impulse response of 1.2 seconds: direct sound, reflections, a tail falling 60 dB in RT60."""
    rng = np.random.default_rng(seed)
    size = int(1.2 * SAMPLING_RATE)
    rt60 = rng.uniform(0.15, 1.0)
    time = np.arange(size) / SAMPLING_RATE
    tail = rng.standard_normal(size) * 10 ** (-3 * time / rt60)
    tail[: int(rng.uniform(0.002, 0.02) * SAMPLING_RATE)] = 0
    response = np.zeros(size)
    response[0] = 1
    for _ in range(rng.integers(3, 9)):
        delay = rng.uniform(0.001, 0.05)
        response[int(delay * SAMPLING_RATE)] += (
            rng.choice([-1, 1]) * rng.uniform(0.1, 0.7) * 10 ** (-3 * delay / rt60)
        )
    direct_to_tail = 10 ** (rng.uniform(0, 15) / 10)
    return np.asarray(response + tail / np.sqrt(np.sum(tail**2) * direct_to_tail), np.float32)


def through_codec(audio: Samples, rng: np.random.Generator) -> Samples:
    """Encode as Opus, Vorbis or MP3 at a random quality and decode again; length is kept."""
    container, subtype = (("OGG", "OPUS"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"))[rng.integers(3)]
    file = io.BytesIO()
    soundfile.write(
        file,
        audio,
        SAMPLING_RATE,
        format=container,
        subtype=subtype,
        compression_level=float(rng.uniform(0.6, 0.99)),  # some builds of libsndfile refuse more
    )
    file.seek(0)
    decoded = soundfile.read(file, dtype="float32")[0]
    return np.pad(decoded, (0, max(0, len(audio) - len(decoded))))[: len(audio)]
