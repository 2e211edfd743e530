"""Write a clip set to a folder: the audio files as they are, and the manifest."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from trtforge._files import sha256, write_bytes, write_text
from trtforge.audio.clip import Clip
from trtforge.audio.manifest import MANIFEST_NAME
from trtforge.errors import ClipError, ClipSetError

AUDIO_FOLDER = "audio"
_MAX_NAME = 80


def save_clips(
    clips: Iterable[Clip], locate: Callable[[Clip], Path | bytes], path: str | os.PathLike[str]
) -> Path:
    """Write clips as a folder with ``manifest.jsonl`` and ``audio/``.

    The audio is copied byte for byte, one clip at a time, and held against each clip's SHA-256. All is
    written to a folder beside ``path`` that takes its place at the end: on failure ``path`` is as it was.

    Parameters
    ----------
    clips : the clips.
    locate : gives a clip's audio file, as path or bytes.
    path : folder to make; it may exist only if it is empty.

    Returns
    -------
    The folder.

    Raises
    ------
    ClipSetError : the folder holds something.
    ClipError : a clip's audio is gone, or is no longer what the set was made of.
    """
    folder = Path(path)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ClipSetError(
            f"cannot save the clips to {folder}: it is there and not empty", hint="name another folder"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        lines = []
        for index, clip in enumerate(clips):
            audio = _read(clip, locate)
            saved = replace(clip, path=f"{AUDIO_FOLDER}/{_file_name(clip, index, audio)}")
            write_bytes(beside / saved.path, audio)
            lines.append(json.dumps(saved.to_json(), ensure_ascii=False, allow_nan=False) + "\n")
        write_text(beside / MANIFEST_NAME, "".join(lines))
        umask = os.umask(0)
        os.umask(umask)
        beside.chmod(0o777 & ~umask)
        beside.replace(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return folder


def _read(clip: Clip, locate: Callable[[Clip], Path | bytes]) -> bytes:
    try:
        source = locate(clip)
        audio = source if isinstance(source, bytes) else source.read_bytes()
    except OSError as error:
        raise ClipError(f"clip {clip.id!r}: cannot read the file: {error}", clip_id=clip.id) from error
    if sha256(audio) != clip.sha256:
        raise ClipError(
            f"clip {clip.id!r}: its audio has changed since the set was made; nothing was saved",
            clip_id=clip.id,
            hint="make the set again",
        )
    return audio


def _file_name(clip: Clip, index: int, audio: bytes) -> str:
    """Name a file by the clip's number and what of its id is safe in a file name."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", clip.id).strip("-")[:_MAX_NAME]
    return f"{index:05d}-{safe}{_suffix(audio)}"


def _suffix(audio: bytes) -> str:
    head = audio[:12]
    if head[:4] in (b"RIFF", b"RIFX", b"RF64"):
        return ".wav"
    return {b"fLaC": ".flac", b"OggS": ".ogg", b"FORM": ".aiff"}.get(head[:4], ".mp3")
