"""A set on disk: Ogg Opus files, their manifest lines, and how a fresh clip compares with a stored one."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from calibration_sets.synthesis.design import SetName
from calibration_sets.synthesis.noises import SAMPLING_RATE, Samples
from calibration_sets.synthesis.recipes import Recipe
from calibration_sets.synthesis.render import render
from calibration_sets.synthesis.speak import program_version

LICENSE = "Apache-2.0"
MANIFEST = "manifest.jsonl"
# libsndfile asks Opus for 256 - 250 times this in kbit/s: 43.5.
_COMPRESSION = 0.85
# Other versions of the coder give other bits, hardly other sound.
_LEAST_SNR_DB = 15.0

Entry = dict[str, Any]


def encode(sound: Samples) -> bytes:
    """Encode a clip as Ogg Opus at about 44 kbit/s.

    Parameters
    ----------
    sound : float32 [num_samples], mono, 16 kHz.
    """
    stream = io.BytesIO()
    soundfile.write(
        stream, sound, SAMPLING_RATE, format="OGG", subtype="OPUS", compression_level=_COMPRESSION
    )
    return stream.getvalue()


def decode(data: bytes) -> Samples:
    """Decode a clip to float32 [num_samples] at 16 kHz."""
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    if rate != SAMPLING_RATE or samples.ndim != 1:
        raise ValueError(f"expected mono at {SAMPLING_RATE} Hz, found shape {samples.shape} at {rate} Hz")
    return np.asarray(samples, dtype=np.float32)


def make(name: SetName, recipe: Recipe) -> tuple[Entry, bytes]:
    """Render and encode a clip.

    Parameters
    ----------
    name : the set.
    recipe : one of ``recipes(name)``.

    Returns
    -------
    The manifest's entry and the content of the audio file.
    """
    data = encode(render(name, recipe))
    num_samples = len(decode(data))
    program = {"espeak": "espeak-ng", "flite": "flite"}[recipe.strata.engine]
    entry = {
        "id": recipe.id,
        "path": f"audio/{recipe.id}.ogg",
        "text": recipe.transcript,
        "duration": num_samples / SAMPLING_RATE,
        "num_samples": num_samples,
        "sampling_rate": SAMPLING_RATE,
        "sha256": hashlib.sha256(data).hexdigest(),
        "license": LICENSE,
        "strata": recipe.strata.as_dict(),
        "recipe": {**recipe.as_dict(), "program": f"{program} {program_version(program)}"},
    }
    return entry, data


def read_manifest(folder: Path) -> list[Entry]:
    """Read the entries of a set's manifest.

    Parameters
    ----------
    folder : holds ``manifest.jsonl``.
    """
    return [json.loads(line) for line in (folder / MANIFEST).read_text(encoding="utf-8").splitlines()]


def write_manifest(folder: Path, entries: list[Entry]) -> None:
    """Write the entries of a set's manifest, a line each."""
    lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries]
    (folder / MANIFEST).write_text("".join(lines), encoding="utf-8")


def difference(folder: Path, stored: Entry, name: SetName, recipe: Recipe) -> str:
    """Make a clip anew and say how it differs from the stored one.

    Parameters
    ----------
    folder : the set on disk.
    stored : the clip's entry in its manifest.
    name, recipe : what to make.

    Returns
    -------
    Empty if all but the file's bytes agrees and the audio's signal-to-noise ratio is 15 dB or more; else one
    line that names the first difference.
    """
    fresh, data = make(name, recipe)
    for key, value in fresh.items():
        if key != "sha256" and stored.get(key) != value:
            return f"{recipe.id}: {key} is {stored.get(key)!r}, made anew {value!r}"
    content = (folder / stored["path"]).read_bytes()
    if hashlib.sha256(content).hexdigest() != stored["sha256"]:
        return f"{recipe.id}: {stored['path']} does not have the manifest's sha256"
    ratio_db = snr_db(decode(content), decode(data))
    if ratio_db < _LEAST_SNR_DB:
        return f"{recipe.id}: audio made anew differs, signal-to-noise ratio {ratio_db:.1f} dB"
    return ""


def snr_db(signal: Samples, other: Samples) -> float:
    """Return 10 log10 of a signal's energy over that of its difference from another, infinite if equal."""
    error = float(np.sum(np.square(signal - other, dtype=np.float64)))
    energy = float(np.sum(np.square(signal, dtype=np.float64)))
    return float("inf") if error == 0.0 else 10 * float(np.log10(energy / error))
