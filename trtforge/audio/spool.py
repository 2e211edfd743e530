"""Audio of clips that come from no file of their own, kept on disk instead of in memory."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from trtforge._files import sha256
from trtforge.audio.clip import Clip


class Spool:
    """A temporary folder with one audio file for each clip, gone when the last clip set that uses it is.

    The folder lies where the system keeps temporary files; the environment variable ``TMPDIR`` moves it. A
    pickled spool refers to the folder and does not prolong its life.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="trtforge-clips-"))
        weakref.finalize(self, _remove, self.folder, os.getpid())

    def __call__(self, clip: Clip) -> Path:
        """Return the path of a clip's audio file."""
        return self._path(clip.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Borrowed, (self.folder,)

    def write(self, clip_id: str, audio: bytes) -> None:
        """Keep the bytes of a clip's audio file."""
        self._path(clip_id).write_bytes(audio)

    def discard(self, clip_id: str) -> None:
        """Forget a clip's audio."""
        self._path(clip_id).unlink(missing_ok=True)

    def _path(self, clip_id: str) -> Path:
        return _path_in(self.folder, clip_id)


class _Borrowed:
    """What a spool becomes in another process: its folder, without the duty to remove it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, clip: Clip) -> Path:
        return _path_in(self.folder, clip.id)


def _remove(folder: Path, owner: int) -> None:
    # A forked child holds a copy of the spool, and its end is not the set's.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _path_in(folder: Path, clip_id: str) -> Path:
    # An id may hold anything, a slash among it; its hash is a safe name.
    return folder / sha256(clip_id.encode())[:32]
