"""A lock as a value: made of engines and files here, written and read as JSON."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trtforge._files import file_sha256, json_bytes, read_json, sha256, write_bytes
from trtforge.engine import Engine
from trtforge.engine.artifact import system_name
from trtforge.engine.manifest_file import manifest_bytes
from trtforge.errors import LockError
from trtforge.locking.environment import LockedGpu, gpu_here, package_versions, python_version

FORMAT = "trtforge.lock/1"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_HINT = "write it again: trtforge lock ENGINE -o trtforge.lock.json"

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class LockedEngine:
    """One engine.

    Parameters
    ----------
    plan_sha256, manifest_sha256 : digests of its two files.
    library, library_version : what built it.
    compute_capabilities : where it runs.
    precision : as in its manifest.
    onnx_sha256, scales_sha256 : of the network and the INT8 scales that it was built from.
    gpu, driver : the GPU that it was built on, None where there was none.
    """

    plan_sha256: str
    manifest_sha256: str
    library: str
    library_version: str
    compute_capabilities: tuple[str, ...]
    precision: str
    onnx_sha256: str
    scales_sha256: str | None
    gpu: str | None
    driver: str | None


@dataclass(frozen=True)
class Lock:
    """What engines were built and verified with.

    Parameters
    ----------
    engines : path, relative to the lock's folder, to what it is.
    files : path of every other file, such as network, scales and report, to its SHA-256.
    packages : distribution to version.
    python : version, without its last part.
    system : operating system and architecture.
    gpu : of the machine where the lock was made, which is where the engines were verified.
    """

    engines: Mapping[str, LockedEngine]
    files: Mapping[str, str]
    packages: Mapping[str, str]
    python: str
    system: str
    gpu: LockedGpu | None

    def save(self, path: PathLike) -> None:
        """Write the lock as JSON."""
        write_bytes(path, json_bytes({"format": FORMAT, **asdict(self)}))

    @classmethod
    def load(cls, path: PathLike) -> Lock:
        """Read what `save` wrote.

        Raises
        ------
        LockError : the file is missing or is no lock.
        """
        record = read_json(path, what="lock file", error=LockError)
        try:
            if record["format"] != FORMAT:
                raise ValueError(f"format {record['format']!r}")
            lock = _from_json(record)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise LockError(f"{os.fspath(path)} is no lock file: {error!r}", hint=_HINT) from error
        return lock

    def constraints(self) -> str:
        """Return the packages as a constraints file of pip, without trtforge itself."""
        return "".join(
            f"{name}=={version}\n" for name, version in sorted(self.packages.items()) if name != "trtforge"
        )


def make_lock(engines: Sequence[PathLike], *, files: Sequence[PathLike] = (), folder: PathLike = ".") -> Lock:
    """Lock engines with this machine as it is.

    Parameters
    ----------
    engines : at least one; each is read and verified.
    files : whatever else was used, such as the network, scales and the report that judged them.
    folder : where the lock will lie; paths are kept relative to it.

    Raises
    ------
    LockError : there is no engine, or a file cannot be read or lies outside ``folder``.
    EngineIntegrityError : an engine is not what was written.
    """
    if not engines:
        raise LockError("no engine to lock", hint=_HINT)
    return Lock(
        engines={_relative(path, folder): _lock_engine(path) for path in engines},
        files={_relative(path, folder): _digest(path) for path in files},
        packages=package_versions(),
        python=python_version(),
        system=system_name(),
        gpu=gpu_here(),
    )


def _lock_engine(path: PathLike) -> LockedEngine:
    made = Engine.load(path, check_machine=False).manifest
    return LockedEngine(
        plan_sha256=made.plan_sha256,
        manifest_sha256=sha256(manifest_bytes(path)),
        library=made.library,
        library_version=made.library_version,
        compute_capabilities=made.compute_capabilities,
        precision=made.precision,
        onnx_sha256=made.onnx_sha256,
        scales_sha256=made.scales_sha256,
        gpu=made.gpu,
        driver=made.driver,
    )


def _relative(path: PathLike, folder: PathLike) -> str:
    try:
        return str(Path(path).resolve().relative_to(Path(folder).resolve()))
    except ValueError:
        raise LockError(
            f"{os.fspath(path)} lies outside {os.fspath(folder)}, so no other machine would find it",
            hint="put the lock file into a folder above all that it locks",
        ) from None


def _digest(path: PathLike) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise LockError(f"cannot lock {os.fspath(path)}: {error}") from error


def _from_json(record: Mapping[str, Any]) -> Lock:
    engines = {}
    for name, value in record["engines"].items():
        values = {**value, "compute_capabilities": tuple(map(str, value["compute_capabilities"]))}
        engines[_safe(name)] = LockedEngine(**values)
    digests = [digest for each in engines.values() for digest in (each.plan_sha256, each.manifest_sha256)]
    digests += record["files"].values()
    if bad := [digest for digest in digests if not _DIGEST.fullmatch(digest)]:
        raise ValueError(f"{bad[0]!r} is no SHA-256")
    return Lock(
        engines=engines,
        files={_safe(name): str(digest) for name, digest in record["files"].items()},
        packages={str(name): str(version) for name, version in record["packages"].items()},
        python=str(record["python"]),
        system=str(record["system"]),
        gpu=None if record["gpu"] is None else LockedGpu(**record["gpu"]),
    )


def _safe(name: str) -> str:
    if "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"path {name!r} leaves the lock's folder")
    return name
