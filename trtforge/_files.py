"""Write files so that a reader sees the old content or the new, never a part."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trtforge.errors import TrtforgeError

_POLL_SECONDS = 0.05


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` beside its place, flush it to disk, and rename it into place.

    On failure the old file stands untouched and the temporary one is gone.
    """
    write_together({Path(path): data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write all files beside their places first, then rename each into place, in order.

    On failure before the first rename, a full disk among them, all old files stand untouched; temporary files
    are gone in any case.
    """
    staged: dict[Path, Path] = {}
    try:
        for target, data in files.items():
            staged[target] = _stage(target, data)
        for target, temporary in staged.items():
            temporary.replace(target)
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)


def save_or_keep(save: Callable[[Path], object], target: str | os.PathLike[str]) -> None:
    """Save what took long to make; where that fails, save it among the temporary files.

    Raises
    ------
    OSError : it could not be saved in its place. The message says where it is kept, unless there was no room
        there either.
    """
    target = Path(target)
    try:
        save(target)
    except OSError as error:
        folder = Path(tempfile.mkdtemp(prefix="trtforge-"))
        try:
            save(folder / target.name)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise error from None
        told = f"{error.strerror}; what was made is kept as {folder / target.name}, and not as"
        raise OSError(error.errno, told, os.fspath(error.filename or target)) from error


def _stage(target: Path, data: bytes) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = os.fspath(target)  # a full disk does not say which file it had no room for
        raise
    return temporary


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as indented JSON; NaN and infinities are refused."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Return ``value`` as indented JSON in UTF-8; NaN and infinities are refused."""
    return (json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()


def read_json(path: str | os.PathLike[str], *, what: str, error: type[TrtforgeError]) -> Any:
    """Read a JSON file.

    Parameters
    ----------
    path : the file.
    what : what it should be, as in "no scales file at ...".
    error : the kind of error to raise.

    Raises
    ------
    error : the file is missing, unreadable, or not JSON; the message names it.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"no {what} at {os.fspath(path)}") from None
    except (OSError, ValueError, RecursionError) as cause:
        raise error(f"{os.fspath(path)} is no {what}: {cause}") from cause


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in pieces."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


@contextmanager
def locked(path: str | os.PathLike[str], *, wait_s: float | None = None) -> Iterator[None]:
    """Hold a lock against other threads and processes; the system frees it when its holder dies.

    Parameters
    ----------
    path : the lock's file. It stays: one that is removed while another waits for it would be held twice.
    wait_s : longest time to wait for it, in seconds; None waits until it is free.

    Raises
    ------
    TimeoutError : another holds it.
    OSError : the file cannot be made or locked.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
    try:
        deadline = None if wait_s is None else time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(f"{os.fspath(path)} is held by another process") from None
                time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)
