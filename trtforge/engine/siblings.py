"""Engines of one network for several GPUs, side by side: ``NAME.sm86.engine``, ``NAME.sm90.engine``."""

from __future__ import annotations

import os
import re
from pathlib import Path

_TAG = re.compile(r"sm\d{2,3}[a-z]?")


def sibling_path(path: str | os.PathLike[str], compute_capability: str) -> Path:
    """Return the name under which the engine ``NAME.engine`` for one compute capability lies beside it.

    Parameters
    ----------
    path : ``NAME.engine``.
    compute_capability : such as ``9.0``.
    """
    given = Path(path)
    return given.with_name(f"{given.stem}.sm{compute_capability.replace('.', '')}{given.suffix}")


def siblings(path: str | os.PathLike[str]) -> list[Path]:
    """Return the engines beside ``path`` whose names differ from its by a compute capability, sorted.

    Whether they are of the same network is for the caller to look up in their manifests.
    """
    given = Path(path)
    try:
        names = sorted(found.name for found in given.parent.iterdir())
    except OSError:
        return []
    start, end = f"{given.stem}.", given.suffix
    return [
        given.with_name(name)
        for name in names
        if name.startswith(start)
        and name.endswith(end)
        and _TAG.fullmatch(name[len(start) : len(name) - len(end)])
    ]
