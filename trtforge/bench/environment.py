"""Where a benchmark ran: what must be alike for its numbers to be compared."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def machine_facts() -> dict[str, Any]:
    """Name processor, memory and GPUs of this machine."""
    from trtforge.nvidia import gpus

    return {
        "processor": processor_name(),
        "num_cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "gpus": [str(gpu) for gpu in gpus()],
    }


def git_commit(folder: Path) -> str | None:
    """Return the commit that ``folder`` is at, with ``+`` where files differ from it; None outside git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return commit + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")


def package_versions(distributions: Sequence[str]) -> dict[str, str]:
    """Return the versions of Python and of those distributions that are installed."""
    return {
        "python": platform.python_version(),
        **{name: version for name in distributions if (version := _version(name))},
    }


def processor_name() -> str:
    """Return the processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cache_bytes(device: int | None) -> int:
    """Return the size of the last cache before the memory: of a GPU, or of the CPU where ``device`` is None.

    Where it is not told, 64 MiB stand for it, more than most have.
    """
    unknown = 64 << 20
    if device is not None:
        from trtforge.nvidia.devices import l2_cache_bytes

        return l2_cache_bytes(device) or unknown
    sizes = [_read(path) for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    return max((size for size in sizes if size), default=unknown)


def _read(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(text[:-1]) * units[text[-1]] if text[-1:] in units else None


def _git(folder: Path, *arguments: str) -> str | None:
    program = shutil.which("git")
    if program is None:
        return None
    done = subprocess.run(  # noqa: S603 - our own arguments
        [program, "-C", str(folder), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
