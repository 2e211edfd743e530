from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

MakeSet = Callable[..., Path]


@pytest.fixture
def tone() -> Callable[..., NDArray[np.float64]]:
    def make(
        frequency: float = 440.0,
        *,
        sampling_rate: int = 16_000,
        duration: float = 1.0,
        amplitude: float = 0.5,
    ) -> NDArray[np.float64]:
        seconds = np.arange(round(duration * sampling_rate)) / sampling_rate
        return amplitude * np.sin(2 * np.pi * frequency * seconds)

    return make


@pytest.fixture
def make_wav() -> Callable[..., bytes]:
    """Build a 16-bit WAV by hand, so that its header can lie."""

    def make(
        *,
        num_channels: int = 1,
        sampling_rate: int = 16_000,
        num_bytes: int | None = None,
        samples: bytes = bytes(276),
    ) -> bytes:
        length = len(samples) if num_bytes is None else num_bytes
        frame = (2 * num_channels) & 0xFFFF
        rate = (sampling_rate * frame) & 0xFFFFFFFF
        form = struct.pack("<HHIIHH", 1, num_channels, sampling_rate, rate, frame, 16)
        body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", length) + samples
        return b"RIFF" + struct.pack("<I", (len(body) + length) & 0xFFFFFFFF) + body

    return make


@pytest.fixture
def make_set(tmp_path: Path) -> MakeSet:
    """Write a clip set of tones of 0.5, 0.6, ... s; ``change`` maps an id to what its line says otherwise."""

    def make(num_clips: int = 12, *, change: dict[str, dict[str, Any]] | None = None) -> Path:
        folder = tmp_path / "tones"
        folder.mkdir()
        lines = []
        for index in range(num_clips):
            clip_id = f"c{index:02d}"
            num_samples = 8000 + 1600 * index
            audio = 0.3 * np.sin(2 * np.pi * (200 + 50 * index) * np.arange(num_samples) / 16_000)
            path = folder / f"{clip_id}.wav"
            soundfile.write(path, audio, 16_000, subtype="PCM_16")
            line = {
                "id": clip_id,
                "path": path.name,
                "text": f"tone {index}",
                "duration": num_samples / 16_000,
                "num_samples": num_samples,
                "sampling_rate": 16_000,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "license": "CC0-1.0",
                "strata": {"noise": ("none", "babble")[index % 2], "snr": str(index % 3)},
                "mood": "calm",
            }
            line.update((change or {}).get(clip_id, {}))
            lines.append(json.dumps({key: value for key, value in line.items() if value is not None}))
        (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return folder

    return make
