"""The folder behind a store of engines: its files, its locks, and what killed writers left in it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from trtforge._files import locked
from trtforge.engine.manifest import Manifest
from trtforge.engine.manifest_file import load_manifest, manifest_path
from trtforge.engine.signature import signature_path
from trtforge.errors import ConfigError, EngineIntegrityError

_KEY = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"([0-9a-f]{64})\.engine(\.json|\.sig)?")
_LEFTOVER = re.compile(r"\.([0-9a-f]{64})\.engine.*\.tmp")


@dataclass(frozen=True)
class StoredEngine:
    """One entry of a store, as `EngineStore.entries` finds it.

    Parameters
    ----------
    key : what it is kept under.
    path : the plan's file.
    num_bytes : size of all its files.
    last_used : when it was last asked for, in seconds since 1970.
    manifest : what it is, or None where the manifest cannot be read; its plan was not looked at.
    """

    key: str
    path: Path
    num_bytes: int
    last_used: float
    manifest: Manifest | None


class StoreFolder:
    """Files named by key, and a lock for each key; knows nothing of what makes an engine good.

    Parameters
    ----------
    folder : where they are; made when the first lock is taken.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def plan(self, key: str) -> Path:
        """Return where the plan of ``key`` lies, or would lie.

        Raises
        ------
        ConfigError : the key is not 64 hexadecimal digits in lower case.
        """
        if not _KEY.fullmatch(key):
            raise ConfigError(f"a key is a SHA-256, 64 hexadecimal digits, got {key!r}")
        return self.folder / f"{key}.engine"

    def has(self, key: str) -> bool:
        """Say whether a plan or a manifest of ``key`` is there."""
        plan = self.plan(key)
        return plan.exists() or manifest_path(plan).exists()

    def drop(self, key: str) -> None:
        """Remove the files of ``key``, whose lock is held."""
        for path in _files_of(self.plan(key)):
            path.unlink(missing_ok=True)

    def entries(self) -> list[StoredEngine]:
        """Return what is kept, last used first."""
        found = []
        for key in {match[1] for name in self._names() if (match := _FILE.fullmatch(name))}:
            plan = self.plan(key)
            sizes, used = 0, 0.0
            for path in _files_of(plan):
                with suppress(FileNotFoundError):
                    facts = path.stat()
                    sizes, used = sizes + facts.st_size, max(used, facts.st_mtime)
            manifest = None
            with suppress(EngineIntegrityError, OSError):
                manifest = load_manifest(plan)
            found.append(StoredEngine(key, plan, sizes, used, manifest))
        return sorted(found, key=lambda entry: entry.last_used, reverse=True)

    def remove(self, entry: StoredEngine) -> bool:
        """Remove an entry, unless it is locked or was used since it was listed; say whether it is gone."""
        with self.locked(entry.key, wait=False) as held:
            if not held:
                return False
            with suppress(FileNotFoundError):
                if entry.path.stat().st_mtime > entry.last_used:
                    return False
            self.drop(entry.key)
            return True

    def sweep(self, key: str | None = None) -> None:
        """Remove what killed writers left: of ``key``, whose lock is held, or of all that are not locked."""
        for name in self._names():
            match = _LEFTOVER.fullmatch(name)
            if match is None or key not in (None, match[1]):
                continue
            with suppress(OSError):
                if key is not None:
                    (self.folder / name).unlink()
                    continue
                with self.locked(match[1], wait=False) as held:
                    if held:
                        (self.folder / name).unlink()

    def _names(self) -> list[str]:
        try:
            return [path.name for path in self.folder.iterdir()]
        except OSError:
            return []

    @contextmanager
    def locked(self, key: str, *, wait: bool = True) -> Iterator[bool]:
        """Hold the key's lock; yield whether it is held."""
        locks, is_held = self.folder / "locks", False
        with ExitStack() as stack:
            try:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                locks.mkdir(mode=0o700, exist_ok=True)
                stack.enter_context(locked(locks / f"{key}.lock", wait_s=None if wait else 0))
                is_held = True
            except OSError as error:
                if wait:
                    message = f"the store at {self.folder} cannot be used: {error}"
                    warnings.warn(message, RuntimeWarning, stacklevel=5)
            yield is_held


def _files_of(plan: Path) -> tuple[Path, Path, Path]:
    return plan, manifest_path(plan), signature_path(plan)
