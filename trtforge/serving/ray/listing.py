"""Which clips there are: of a folder of audio files, or of a clip set."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from trtforge.audio.manifest import MANIFEST_NAME, read_manifest
from trtforge.errors import ClipSetError

_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff"})


@dataclass(frozen=True)
class ListedClip:
    """One audio file that is to be transcribed; nothing of it has been read.

    Parameters
    ----------
    id : unique in the list.
    path : absolute path, which every machine of the cluster must be able to read.
    """

    id: str
    path: str


def list_clips(source: str | os.PathLike[str]) -> tuple[ListedClip, ...]:
    """List the clips of a set by its manifest, or all audio files below a folder.

    Parameters
    ----------
    source : folder with ``manifest.jsonl``, such a manifest, or any folder; of the last, files are taken by
        their suffix, and ids are paths relative to it; links that lead nowhere are among them.

    Raises
    ------
    ClipSetError : there is nothing at ``source``, no audio file below it, or the manifest is malformed.
    """
    asked = Path(source).resolve()
    manifest = asked / MANIFEST_NAME if asked.is_dir() else asked
    if manifest.is_file():
        return tuple(
            ListedClip(entry.id, str(manifest.parent / entry.path)) for entry in read_manifest(manifest)
        )
    if not asked.is_dir():
        raise ClipSetError(f"no clips at {asked}: there is no such folder or manifest")
    # A link to nothing is listed too, and becomes a row that says so.
    found = sorted(
        path
        for path in asked.rglob("*")
        if path.suffix.lower() in _SUFFIXES and (path.is_file() or (path.is_symlink() and not path.exists()))
    )
    if not found:
        raise ClipSetError(
            f"no audio file below {asked}", hint=f"these suffixes are taken: {', '.join(sorted(_SUFFIXES))}"
        )
    return tuple(ListedClip(str(path.relative_to(asked)), str(path)) for path in found)
