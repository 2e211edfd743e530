"""Keep what builders measured in a file that several of them may share."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from trtforge._files import locked, sha256, write_bytes
from trtforge.engine.config import BuildConfig
from trtforge.engine.store import default_folder
from trtforge.nvidia import Flavor, Gpu
from trtforge.nvidia.timings import Merge

_LOCK_SECONDS = 10.0


class TimingCache:
    """The timing cache of one build.

    A build reads the file as it begins and writes it as it ends. What other builds wrote in between is kept:
    under a lock across processes both are put together. A cache that cannot be read or written costs a
    warning, never the build.

    Parameters
    ----------
    path : the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begun_with = b""

    @property
    def sha256(self) -> str | None:
        """Digest of what the build began with; None where that was nothing."""
        return sha256(self._begun_with) if self._begun_with else None

    def read(self) -> bytes:
        """Return the file's content, nothing where there is none, and remember it."""
        try:
            self._begun_with = self.path.read_bytes() if self.path.exists() else b""
        except OSError as error:
            self._warn("read", error)
        return self._begun_with

    def keep(self, content: bytes, merge: Merge) -> None:
        """Write what a build gave, together with what others wrote since `read`.

        Parameters
        ----------
        content : the build's cache, which holds what it began with.
        merge : adds another cache to that of the build; None where they do not fit together.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with locked(f"{self.path}.lock", wait_s=_LOCK_SECONDS):
                there = self.path.read_bytes() if self.path.exists() else b""
                if there not in (b"", self._begun_with):
                    content = merge(there) or content
                if content != there:
                    write_bytes(self.path, content)
        except OSError as error:
            self._warn("written", error)

    def _warn(self, what: str, error: OSError) -> None:
        warnings.warn(f"the timing cache was not {what}: {error}", RuntimeWarning, stacklevel=3)


def timing_cache_for(config: BuildConfig, flavor: Flavor, gpu: Gpu | None) -> TimingCache | None:
    """Return the timing cache that a build is to use, or None.

    Timings hold for one GPU and one version of the library, so the user's cache folder has a file for each.

    Raises
    ------
    MissingExtraError : the folder cannot be found out, since platformdirs is not installed.
    """
    if config.timing_cache is None:
        return None
    if config.timing_cache is not True:
        return TimingCache(Path(config.timing_cache))
    device = f"{gpu.name}-{gpu.compute_capability}" if gpu is not None else "no-gpu"
    name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{flavor.name}-{flavor.version}-{device}").lower()
    return TimingCache(default_folder().parent / "timing" / f"{name}.cache")
