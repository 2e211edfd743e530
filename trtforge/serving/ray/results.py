"""Transcripts on disk: one JSON object a line, one line for each clip's digest, appended as they come."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from trtforge._files import write_bytes
from trtforge.errors import ConfigError

RESULTS = "results.jsonl"


class ResultsFile:
    """A folder's results, held by one process at a time; use it with ``with``.

    A line that a killed process left half written is dropped when the file is opened, and its clip is run
    again.

    Parameters
    ----------
    folder : where ``results.jsonl`` lies; made where there is none.

    Attributes
    ----------
    done : digest to row, of those that need not be run again.

    Raises
    ------
    ConfigError : another process writes there.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder) / RESULTS
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path.parent / f".{RESULTS}.lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise ConfigError(f"another process writes results to {self.path.parent}") from None
        rows = _whole_rows(self.path)
        self.done = {row["digest"]: row for row in rows if row["digest"] and not row["retryable"]}
        write_bytes(self.path, b"".join(map(_line, self.done.values())))
        self._file = self.path.open("ab")

    def __enter__(self) -> ResultsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._lock.close()

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows, and come back when they are on the disk."""
        self._file.write(b"".join(map(_line, rows)))
        self._file.flush()
        os.fsync(self._file.fileno())


def read_results(folder: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Return the result of every clip, by id.

    Parameters
    ----------
    folder : as given to `transcribe_many`.

    Raises
    ------
    ConfigError : there are no results.
    """
    path = Path(folder) / RESULTS
    if not path.is_file():
        raise ConfigError(f"no results at {path}")
    return {clip_id: row for row in _whole_rows(path) for clip_id in row["ids"]}


def _whole_rows(path: Path) -> list[dict[str, Any]]:
    content = path.read_bytes() if path.is_file() else b""
    return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
