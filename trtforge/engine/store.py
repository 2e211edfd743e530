"""Engines kept by what they were built from, so that nothing is built twice."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from trtforge._optional import require
from trtforge.engine.artifact import Engine
from trtforge.engine.signature import sign_manifest, trust
from trtforge.engine.store_folder import StoredEngine, StoreFolder
from trtforge.errors import ConfigError, EngineIntegrityError

FOLDER_VARIABLE = "TRTFORGE_CACHE"
DEFAULT_MAX_BYTES = 20 * 10**9

_PURPOSE = "keep engines in a store"
_RENAMING_S = 0.05


class EngineStore:
    """A folder of engines, each under the digest of all that decides its build.

    Processes that ask for one key at once build it once: one holds the key's lock and builds, the others wait
    and read. What does not fit its digests is never given to a library; it is dropped and built again. A
    store that cannot be read or written costs a warning and a build, never the work.

    Parameters
    ----------
    folder : where to keep them; None takes ``engines`` in the folder that ``TRTFORGE_CACHE`` names, else in
        the user's cache folder. Whoever can write to it decides what runs here, unless signatures are
        required.
    max_bytes : size beyond which those longest unused are removed; None removes nothing.
    signing_key : PEM file of an Ed25519 private key that signs what is kept; None signs nothing.
    trusted_keys, require_signature : whose entries are taken, as for `Engine.load`.

    Attributes
    ----------
    folder : where the engines are.
    hits, builds : how many engines this object found there, and had built.
    on_request : None, or what is called for each `get_or_build` with ``hit``, ``miss`` or ``corrupt``.
    on_build : None, or what is called after each build with its time in seconds and whether it succeeded.

    Raises
    ------
    MissingExtraError : no folder is named, and platformdirs is not installed.
    ConfigError : ``max_bytes`` is not positive.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        max_bytes: int | None = DEFAULT_MAX_BYTES,
        signing_key: str | os.PathLike[str] | None = None,
        trusted_keys: Sequence[str | os.PathLike[str]] | None = None,
        require_signature: bool | None = None,
    ) -> None:
        if max_bytes is not None and max_bytes < 1:
            raise ConfigError(f"max_bytes must be positive or None, got {max_bytes}")
        self._files = StoreFolder(default_folder() if folder is None else Path(folder))
        self.folder = self._files.folder
        self.max_bytes = max_bytes
        self.hits = self.builds = 0
        self.on_request: Callable[[str], None] | None = None
        self.on_build: Callable[[float, bool], None] | None = None
        # A key that cannot be read must be found before the build, not after it.
        if signing_key is not None:
            sign_manifest(b"", signing_key)
        trust(trusted_keys, require_signature)
        self._signing_key = signing_key
        self._trust: dict[str, Any] = {"trusted_keys": trusted_keys, "require_signature": require_signature}

    def __repr__(self) -> str:
        return f"EngineStore({str(self.folder)!r}, max_bytes={self.max_bytes})"

    def path(self, key: str) -> Path:
        """Return where the plan of ``key`` lies, or would lie; raises ConfigError where it is no key."""
        return self._files.plan(key)

    def get(self, key: str) -> Engine | None:
        """Return the engine of ``key``, whole and verified, or None where there is none.

        No lock is taken: a pair of files that does not fit may be one that is being replaced.
        """
        try:
            engine = self._read(key)
        except (EngineIntegrityError, OSError):
            return None
        self.hits += engine is not None
        return engine

    def get_or_build(self, key: str, build: Callable[[], Engine]) -> Engine:
        """Return the engine of ``key``; build and keep it where there is none.

        Parameters
        ----------
        key : what decides the build, as `trtforge.engine.key.build_key` gives it.
        build : called without arguments, at most once, and in no two processes at a time for one key.

        Returns
        -------
        The engine; its manifest's ``build_key`` is ``key``.

        Raises
        ------
        Exception : whatever ``build`` raised; the next to ask for the key builds it.
        """
        found, result = self.get(key), "miss"
        if found is not None:
            self._tell("hit")
            return found
        with self._files.locked(key) as held:
            if held:
                self._files.sweep(key)
                found, result = self._read_or_drop(key)
            self._tell("hit" if found is not None else result)
            if found is not None:
                self.hits += 1
                return found
            built = self._timed(build)
            self.builds += 1
            engine = replace(built, manifest=replace(built.manifest, build_key=key))
            if held:
                self._keep(key, engine)
        return engine

    def entries(self) -> list[StoredEngine]:
        """Return what is kept, last used first."""
        return self._files.entries()

    def verify(self) -> dict[str, str]:
        """Hash every entry again.

        Returns
        -------
        Key to reason of each that is damaged, or not signed as is required; empty where all are whole.
        """
        damaged = {}
        for entry in self.entries():
            if self._fault(entry.key) is not None:
                time.sleep(_RENAMING_S)  # it may be that the files of the entry were just being replaced
                reason = self._fault(entry.key)
                if reason is not None:
                    damaged[entry.key] = reason
        return damaged

    def clear(self, *, older_than_s: float | None = None, now: float | None = None) -> list[StoredEngine]:
        """Remove entries, and what killed writers left behind.

        Parameters
        ----------
        older_than_s : remove only what was last used longer ago than this, in seconds; None removes all.
        now : the present time in seconds since 1970; None asks the clock.

        Returns
        -------
        The entries removed; one that is being built stays.

        Raises
        ------
        OSError : an entry cannot be removed.
        """
        self._files.sweep()
        latest = float("inf")
        if older_than_s is not None:
            latest = (time.time() if now is None else now) - older_than_s
        return [entry for entry in self.entries() if entry.last_used < latest and self._files.remove(entry)]

    def _read(self, key: str, *, touch: bool = True) -> Engine | None:
        """Read and verify; None where no file of the entry is there."""
        path = self.path(key)
        if not self._files.has(key):
            return None
        engine = Engine.load(path, check_machine=False, **self._trust)
        if engine.manifest.build_key != key:
            raise EngineIntegrityError(
                f"{path} was built from something else: its manifest says {engine.manifest.build_key}"
            )
        if touch:
            with suppress(OSError):
                os.utime(path)
        return engine

    def _fault(self, key: str) -> str | None:
        try:
            self._read(key, touch=False)
        except EngineIntegrityError as error:
            return error.message
        except OSError as error:
            return f"it cannot be read: {error}"
        return None

    def _read_or_drop(self, key: str) -> tuple[Engine | None, str]:
        """Read with the lock held, when what does not fit is damaged for certain; say why there is none."""
        try:
            return self._read(key), "miss"
        except EngineIntegrityError as error:
            _warn(f"a stored engine is refused and is built again: {error.message}")
            with suppress(OSError):
                self._files.drop(key)
            return None, "corrupt"
        except OSError as error:
            _warn(f"a stored engine cannot be read and is built again: {error}")
            return None, "miss"

    def _tell(self, result: str) -> None:
        if self.on_request is not None:
            self.on_request(result)

    def _timed(self, build: Callable[[], Engine]) -> Engine:
        begin, succeeded = time.perf_counter(), False
        try:
            built = build()
            succeeded = True
            return built
        finally:
            if self.on_build is not None:
                self.on_build(time.perf_counter() - begin, succeeded)

    def _keep(self, key: str, engine: Engine) -> None:
        size = len(engine.plan)
        if self.max_bytes is not None and size > self.max_bytes:
            _warn(f"the engine of {size} bytes is not stored: the store holds {self.max_bytes} bytes at most")
            return
        try:
            engine.save(self.path(key), signing_key=self._signing_key)
            self._evict(keep=key)
        except OSError as error:
            _warn(f"the engine was built and is not stored: {error}")

    def _evict(self, *, keep: str) -> None:
        if self.max_bytes is None:
            return
        entries = self.entries()
        total = sum(entry.num_bytes for entry in entries)
        for entry in reversed(entries):
            if total <= self.max_bytes:
                return
            if entry.key != keep and self._files.remove(entry):
                total -= entry.num_bytes


def default_folder() -> Path:
    """Return the folder of the store that is used where none is named.

    Raises
    ------
    MissingExtraError : ``TRTFORGE_CACHE`` is not set, and platformdirs is not installed.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    folder = Path(named) if named else Path(require("platformdirs", _PURPOSE).user_cache_dir("trtforge"))
    return folder / "engines"


def open_store(store: EngineStore | str | os.PathLike[str] | bool) -> EngineStore:
    """Return the store that an argument means: itself, that of a folder, or for True the default one."""
    if isinstance(store, EngineStore):
        return store
    return EngineStore(None if isinstance(store, bool) else store)


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)
