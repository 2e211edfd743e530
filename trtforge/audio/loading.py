"""Load clip sets from folders: a manifest and the audio files that it names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from trtforge.audio._rejection import check_bad_share, refuse_bad_share
from trtforge.audio.clip import Clip, admit
from trtforge.audio.clips import ClipSet
from trtforge.audio.manifest import find_manifest, read_manifest
from trtforge.errors import ClipError


def load_clips(path: str | os.PathLike[str], *, verify: bool = True, max_bad_share: float = 0.1) -> ClipSet:
    """Load the set that a manifest names; `ClipSet.load` documents the parameters."""
    check_bad_share(max_bad_share)
    manifest = find_manifest(path)
    clips: list[Clip] = []
    rejected: dict[str, str] = {}
    unverified: list[str] = []
    entries = read_manifest(manifest)
    for entry in entries:
        try:
            clips.append(admit(entry, manifest.parent / entry.path, verify=verify))
        except ClipError as error:
            rejected[entry.id] = error.message
        if not verify or entry.sha256 is None:
            unverified.append(entry.id)
    name = manifest.parent.resolve().name
    refuse_bad_share(rejected, len(entries), max_bad_share, name)
    locate = _FolderLocator(manifest.parent)
    return ClipSet(clips, locate=locate, name=name, rejected=rejected, unverified=unverified)


@dataclass(frozen=True)
class _FolderLocator:
    folder: Path

    def __call__(self, clip: Clip) -> Path:
        return self.folder / clip.path
