"""Record where and how a benchmark ran, so that its numbers can be judged and had again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from trtforge.bench.environment import git_commit, machine_facts, package_versions

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("numpy", "onnx", "onnx-graphsurgeon", "onnxruntime", "numba", "librosa", "soundfile", "jiwer")


def describe_run(
    module: str, arguments: Sequence[str], *, packages: Sequence[str] = _PACKAGES
) -> dict[str, Any]:
    """Describe this run as plain JSON values.

    Parameters
    ----------
    module : dotted name of the benchmark, as given to ``python -m``.
    arguments : what followed it; of absolute paths what tells nothing about the machine is written.
    packages : distributions whose versions may move the numbers; absent ones are left out.

    Returns
    -------
    ``command``, ``commit`` (`trtforge.bench.environment.git_commit`), ``date`` in UTC, ``machine`` and
    ``versions``.
    """
    return {
        "command": command_line(module, arguments),
        "commit": git_commit(_ROOT),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "machine": machine_facts(),
        "versions": package_versions(packages),
    }


def command_line(module: str, arguments: Sequence[str]) -> str:
    """Write the command that runs a benchmark, of absolute paths what tells nothing about the machine."""
    return shlex.join(["python", "-m", module, *map(_without_folders, arguments)])


def _without_folders(argument: str) -> str:
    """Write a path from the repository's root, or by its name where it lies elsewhere."""
    path = Path(argument)
    if not path.is_absolute():
        return argument
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else path.name
