"""Digests of checkpoints, by which kept results are found again."""

from __future__ import annotations

from pathlib import Path

from trtforge._files import file_sha256, sha256


def checkpoint_digest(folder: Path, *settings: object) -> str:
    """Return a digest of every file of a folder and of settings that its answers depend on."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    told = [f"{path.relative_to(folder)} {file_sha256(path)}" for path in files]
    return sha256("\n".join([*told, *map(repr, settings)]).encode())
