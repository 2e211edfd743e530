"""Whether what is here is what was locked: each kind of drift with its own words and remedy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trtforge._files import file_sha256, sha256
from trtforge.engine.artifact import system_name
from trtforge.engine.manifest_file import manifest_bytes
from trtforge.errors import EngineIntegrityError
from trtforge.locking.environment import gpu_here, package_versions, python_version
from trtforge.locking.lock import Lock, LockedEngine

_REBUILD = "restore it, or verify what is here and write the lock again"


@dataclass(frozen=True)
class Drift:
    """One thing that is not as it was locked.

    Parameters
    ----------
    kind : ``engine``, ``manifest``, ``file``, ``package``, ``python``, ``system``, ``gpu``, ``driver``, or
        ``no-gpu`` where there is no GPU to compare, which is no fault unless a GPU is required.
    what : which file, package or part.
    locked, found : what was locked and what is here, in words.
    remedy : what to do.
    is_fault : whether the check fails for it.
    """

    kind: str
    what: str
    locked: str
    found: str
    remedy: str
    is_fault: bool = True

    def __str__(self) -> str:
        return f"{self.kind} {self.what}: locked {self.locked}, found {self.found}; {self.remedy}"


def check_lock(lock: Lock, folder: str | os.PathLike[str], *, require_gpu: bool = False) -> tuple[Drift, ...]:
    """Compare a lock with the files below a folder and with this machine.

    Parameters
    ----------
    lock : what was locked.
    folder : where its file lies.
    require_gpu : whether a machine without a GPU fails; otherwise what is locked of it is passed over, with a
        `Drift` that is no fault.

    Returns
    -------
    What is not as it was locked, files first.
    """
    place = Path(folder)
    return (*_files(lock, place), *_machine(lock), *_gpu(lock, require_gpu))


def _files(lock: Lock, folder: Path) -> Iterator[Drift]:
    for name, engine in lock.engines.items():
        yield from _compare(folder / name, "engine", name, engine.plan_sha256)
        yield from _manifest(folder / name, name, engine)
    for name, digest in lock.files.items():
        yield from _compare(folder / name, "file", name, digest)


def _compare(path: Path, kind: str, name: str, locked: str) -> Iterator[Drift]:
    try:
        found = file_sha256(path)
    except OSError as error:
        yield Drift(kind, name, _short(locked), error.strerror or str(error), _REBUILD)
        return
    if found != locked:
        yield Drift(kind, name, _short(locked), _short(found), _REBUILD)


def _manifest(path: Path, name: str, engine: LockedEngine) -> Iterator[Drift]:
    try:
        found = sha256(manifest_bytes(path))
    except EngineIntegrityError:
        yield Drift("manifest", name, _short(engine.manifest_sha256), "no manifest", _REBUILD)
        return
    if found != engine.manifest_sha256:
        yield Drift("manifest", name, _short(engine.manifest_sha256), _short(found), _REBUILD)


def _machine(lock: Lock) -> Iterator[Drift]:
    installed = package_versions(lock.packages)
    for name, version in lock.packages.items():
        if name not in installed:
            yield Drift("package", name, version, "not installed", f"install {name}=={version}")
        elif installed[name] != version:
            yield Drift("package", name, version, installed[name], f"install {name}=={version}")
    if lock.python != python_version():
        yield Drift("python", "Python", lock.python, python_version(), f"run Python {lock.python}")
    if lock.system != system_name():
        yield Drift("system", "system", lock.system, system_name(), "build for this system, and lock that")


def _gpu(lock: Lock, required: bool) -> Iterator[Drift]:
    if lock.gpu is None:
        if required:
            yield Drift("no-gpu", "GPU", "none", "-", "write the lock where the engine was verified on a GPU")
        return
    here = gpu_here()
    if here is None:
        remedy = "check it on a machine with a GPU" if required else "not compared; --require-gpu compares it"
        yield Drift("no-gpu", "GPU", str(lock.gpu), "no GPU", remedy, is_fault=required)
        return
    if (here.name, here.compute_capability) != (lock.gpu.name, lock.gpu.compute_capability):
        yield Drift("gpu", "GPU", str(lock.gpu), str(here), "verify the engine on this GPU, and lock that")
    if here.driver != lock.gpu.driver:
        yield Drift(
            "driver",
            "driver",
            lock.gpu.driver,
            here.driver,
            "install the locked driver, or verify the engine with this one and write the lock again",
        )


def _short(digest: str) -> str:
    return f"{digest[:12]}..."
