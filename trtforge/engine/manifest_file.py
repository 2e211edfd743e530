"""The manifest's file beside a plan: read it once, check its signature and its digest."""

from __future__ import annotations

import os
from pathlib import Path

from trtforge.engine.manifest import Manifest
from trtforge.engine.signature import Trust, check_signature, read_signature
from trtforge.errors import EngineIntegrityError

_MAX_MANIFEST_BYTES = 16 << 20


def manifest_path(path: str | os.PathLike[str]) -> Path:
    """Return where the manifest of the engine at ``path`` lies."""
    return Path(f"{os.fspath(path)}.json")


def load_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read and verify the manifest of the engine at ``path``, without the plan and without its signature.

    Raises
    ------
    EngineIntegrityError : it is missing, altered, or not a manifest.
    """
    return read_manifest(path, Trust())


def manifest_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the manifest's file of the engine at ``path`` as it is, which is what a signature is made of.

    Raises
    ------
    EngineIntegrityError : it is missing, or too long to be one.
    """
    beside = manifest_path(path)
    if not beside.is_file():
        raise EngineIntegrityError(
            f"{os.fspath(path)} cannot be trusted as an engine: there is no manifest at {beside}",
            hint="copy NAME.engine and NAME.engine.json together, or build the engine again",
        )
    with beside.open("rb") as file:
        content = file.read(_MAX_MANIFEST_BYTES + 1)
    if len(content) > _MAX_MANIFEST_BYTES:
        raise EngineIntegrityError(
            f"{beside} is not an engine manifest: it exceeds {_MAX_MANIFEST_BYTES} bytes"
        )
    return content


def read_manifest(path: str | os.PathLike[str], trusted: Trust) -> Manifest:
    """Read and verify the manifest of the engine at ``path``, its signature first.

    Parameters
    ----------
    path : the plan.
    trusted : whose signatures are taken, and whether one is required.

    Raises
    ------
    EngineSignatureError : it is not signed as is required.
    EngineIntegrityError : it is missing, altered, or not a manifest.
    """
    content = manifest_bytes(path)
    check_signature(content, read_signature(path), trusted, source=os.fspath(path))
    return Manifest.loads(content, source=os.fspath(manifest_path(path)))
