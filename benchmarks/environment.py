"""Record where and how a benchmark ran, so that its numbers can be judged and had again."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("numpy", "onnx", "onnx-graphsurgeon", "onnxruntime", "numba", "librosa", "soundfile", "jiwer")


def describe_run(
    module: str, arguments: Sequence[str], *, packages: Sequence[str] = _PACKAGES
) -> dict[str, Any]:
    """Describe this run as plain JSON values.

    Parameters
    ----------
    module : dotted name of the benchmark, as given to ``python -m``.
    arguments : what followed it.
    packages : distributions whose versions may move the numbers; absent ones are left out.

    Returns
    -------
    ``command``, ``commit`` (see `git_commit`), ``date`` in UTC, ``machine`` and ``versions``.
    """
    return {
        "command": shlex.join(["python", "-m", module, *arguments]),
        "commit": git_commit(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "machine": describe_machine(),
        "versions": {
            "python": platform.python_version(),
            **{name: version for name in packages if (version := _version(name))},
        },
    }


def describe_machine() -> dict[str, Any]:
    """Name processor, memory and GPUs of this machine."""
    from trtforge.nvidia import gpus

    return {
        "processor": _processor(),
        "num_cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "gpus": [str(gpu) for gpu in gpus()],
    }


def git_commit(folder: Path = _ROOT) -> str | None:
    """Return the commit that ``folder`` is at, with ``+`` where files differ from it; None outside git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return commit + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")


def _git(folder: Path, *arguments: str) -> str | None:
    program = shutil.which("git")
    if program is None:
        return None
    done = subprocess.run(  # noqa: S603 - our own arguments
        [program, "-C", str(folder), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
