"""Text to 16 kHz speech through the espeak-ng and flite programs."""

from __future__ import annotations

import re
import subprocess
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from calibration_sets.synthesis.accents import accented
from calibration_sets.synthesis.voices import Voice

SAMPLING_RATE = 16_000
PEAK = 10 ** (-3 / 20)

Samples = npt.NDArray[np.float32]

_TIMEOUT_S = 30
# espeak-ng drops the variant after "en-gb", its alias of "en".
_ESPEAK_NAME = {"en-gb": "en"}
# Words a minute of each flite voice at its own pace, counted on the same sentences as espeak-ng's.
_FLITE_PACE = {"kal": 175.0, "kal16": 175.0, "awb": 175.0, "rms": 150.0, "slt": 170.0}
# This voice ignores flite's pitch settings; it is spoken slower and played faster instead.
_FLITE_FIXED_PITCH = frozenset({"rms"})


class SpeechError(RuntimeError):
    """A speech program is missing, failed, or gave no audio."""


def speak(
    text: str,
    voice: Voice,
    *,
    words_per_minute: float = 165.0,
    pitch: float = 50.0,
    margin_s: float = 0.2,
) -> Samples:
    """Speak a text.

    The same arguments give the same samples with the same version of the speech program.

    Parameters
    ----------
    text : English words.
    voice : who speaks.
    words_per_minute : pace in espeak-ng's measure, 80 to 300.
    pitch : 0 to 99, 50 being the voice's own; 60 steps are about an octave.
    margin_s : silence before and after the speech, in seconds.

    Returns
    -------
    float32 [num_samples], mono, 16 kHz, peak at -3 dBFS.

    Raises
    ------
    SpeechError : the program is not installed, failed, or gave no audio.
    ValueError : the text is empty, or pace or pitch is out of range.
    """
    if not text.strip():
        raise ValueError("there is no text to speak")
    if not 80 <= words_per_minute <= 300:
        raise ValueError(f"words_per_minute must lie in 80 to 300, not {words_per_minute}")
    if not 0 <= pitch <= 99:
        raise ValueError(f"pitch must lie in 0 to 99, not {pitch}")
    if voice.engine == "flite":
        samples = _flite(text, voice, words_per_minute, pitch)
    else:
        samples = _espeak(text, voice, words_per_minute, pitch)
    return _trim(samples, margin_s)


def _espeak(text: str, voice: Voice, words_per_minute: float, pitch: float) -> Samples:
    if voice.group == "other":
        text = phoneme_input(text, voice.accent)
    accent = _ESPEAK_NAME.get(voice.accent, voice.accent)
    name = f"{accent}+{voice.variant}" if voice.variant else accent
    options = ["-v", name, "-s", f"{words_per_minute:.0f}", "-p", f"{pitch:.0f}", "-a", "60"]
    wav = _run(["espeak-ng", *options, "-b", "1", "-z", "--stdin", "--stdout"], text)
    return _resample(*_decode(wav, voice))


def _flite(text: str, voice: Voice, words_per_minute: float, pitch: float) -> Samples:
    stretch = _FLITE_PACE[voice.variant] / words_per_minute
    shift = 2.0 ** ((pitch - 50.0) / 60.0)
    speed = 1.0
    if voice.variant in _FLITE_FIXED_PITCH:
        # Formants move with the pitch here, so the range is that of human vocal tracts.
        speed = min(max(shift, 0.85), 1.25)
        stretch, shift = stretch * speed, 1.0
    options = ["--setf", f"duration_stretch={stretch:.4f}", "--setf", f"f0_shift={shift:.4f}"]
    wav = _run(["flite", "-voice", voice.variant, *options, "-t", text, "-o", "/dev/stdout"], "")
    samples, rate = _decode(wav, voice)
    return _resample(samples, round(rate * speed / 100) * 100)


def phoneme_input(text: str, language: str) -> str:
    """Write a text as phonemes that a voice of another language speaks as accented English.

    Parameters
    ----------
    text : English words.
    language : a language with a phoneme table, such as ``de``.

    Returns
    -------
    Input for espeak-ng, each word in ``[[ ]]``, clauses divided by commas.
    """
    clauses = _run(["espeak-ng", "-q", "-x", "-v", "en-us", "-b", "1", "--stdin"], text).decode().splitlines()
    spoken = (accented(clause, language) for clause in clauses)
    return ", ".join(" ".join(f"[[{''.join(word)}]]" for word in words) for words in spoken if words) + "."


def _run(command: list[str], text: str) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603 - fixed programs; the text is no part of a shell line
            command, input=text.encode(), capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        raise SpeechError(
            f"{command[0]} is not installed; on Debian or Ubuntu: apt-get install {command[0]}"
        ) from None
    if done.returncode != 0 or not done.stdout:
        said = done.stderr.decode(errors="replace").strip() or "it gave no output"
        raise SpeechError(f"{command[0]} failed with status {done.returncode}: {said}")
    return done.stdout


def _decode(wav: bytes, voice: Voice) -> tuple[Samples, int]:
    """Read 16-bit mono samples; espeak-ng, writing to a pipe, leaves the lengths in the header open."""
    start = wav.find(b"data", 12)
    if not wav.startswith(b"RIFF") or start < 0:
        raise SpeechError(f"no WAV audio came for voice {voice.name}")
    rate = int.from_bytes(wav[24:28], "little")
    body = wav[start + 8 :]
    samples = np.frombuffer(body[: len(body) // 2 * 2], dtype="<i2").astype(np.float32) / np.float32(32768)
    if not samples.any():
        raise SpeechError(f"voice {voice.name} stayed silent")
    return samples, rate


def _resample(samples: Samples, rate: int) -> Samples:
    if rate == SAMPLING_RATE:
        return samples
    common = int(np.gcd(rate, SAMPLING_RATE))
    resampled = resample_poly(samples, SAMPLING_RATE // common, rate // common)
    return np.asarray(resampled, dtype=np.float32)


def _trim(samples: Samples, margin_s: float) -> Samples:
    """Cut silence below -45 dB of the loudest 10 ms, put margins of digital silence, set the peak."""
    frame = SAMPLING_RATE // 100
    whole = len(samples) // frame * frame
    power = np.square(samples[:whole].reshape(-1, frame)).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 10**-4.5)
    margin = round(margin_s * SAMPLING_RATE)
    start, stop = int(loud[0]) * frame - margin, (int(loud[-1]) + 1) * frame + margin
    out = np.zeros(stop - start, dtype=np.float32)
    kept = samples[max(start, 0) : min(stop, len(samples))]
    offset = max(-start, 0)
    out[offset : offset + len(kept)] = kept
    return np.asarray(out * np.float32(PEAK / np.abs(out).max()), dtype=np.float32)


@cache
def program_version(program: str) -> str:
    """Name the version of a speech program, as its ``--version`` says it.

    Parameters
    ----------
    program : ``espeak-ng`` or ``flite``.

    Returns
    -------
    Such as ``1.51``; empty where the program says nothing of the kind.

    Raises
    ------
    SpeechError : the program is not installed.
    """
    try:
        done = subprocess.run([program, "--version"], capture_output=True, check=False, timeout=_TIMEOUT_S)  # noqa: S603
    except FileNotFoundError:
        raise SpeechError(f"{program} is not installed") from None
    found = re.search(r"\d+\.\d+(\.\d+)?", (done.stdout + done.stderr).decode(errors="replace"))
    return found.group() if found else ""
