"""Transcripts on disk: one JSON object a line, one line for each clip's digest, appended as they come."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from trtforge._closing import Closing
from trtforge._files import locked, write_bytes
from trtforge.errors import ConfigError

RESULTS = "results.jsonl"


class ResultsFile(Closing):
    """A folder's results, held by one process at a time; use it with ``with``.

    A line that a killed process left half written is dropped when the file is opened, and its clip is run
    again.

    Parameters
    ----------
    folder : where ``results.jsonl`` lies; made where there is none.
    network : digest of the network or engine whose results they are.

    Attributes
    ----------
    done : digest to row, of those that need not be run again.

    Raises
    ------
    ConfigError : another process writes there, or what lies there is no results, or those of another network.
    """

    def __init__(self, folder: str | os.PathLike[str], network: str) -> None:
        self.path, self._network = Path(folder) / RESULTS, network
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self.path.parent / f".{RESULTS}.lock", wait_s=0))
            except TimeoutError:
                raise ConfigError(f"another process writes results to {self.path.parent}") from None
            rows = _whole_rows(self.path)
            if any(row.get("network") != network for row in rows):
                raise ConfigError(
                    f"the results at {self.path.parent} are those of another network or engine",
                    hint="give a folder of its own for each",
                )
            self.done = {row["digest"]: row for row in rows if row["digest"] and not row["retryable"]}
            self._file = self._rewritten()
            self._lock = stack.pop_all()

    def close(self) -> None:
        """Let others write to the folder; closing twice does nothing."""
        self._file.close()
        self._lock.close()

    def add_ids(self, files: Mapping[str, Sequence[str]]) -> None:
        """Name the clips that have files which are done, as digest to ids, beside those named before."""
        for digest in self.done.keys() & files.keys():
            row = self.done[digest]
            row["ids"] = list(dict.fromkeys([*row["ids"], *files[digest]]))
        self._file.close()
        self._file = self._rewritten()

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows, and come back when they are on the disk."""
        self._file.write(b"".join(_line({**row, "network": self._network}) for row in rows))
        self._file.flush()
        os.fsync(self._file.fileno())

    def _rewritten(self) -> BinaryIO:
        write_bytes(self.path, b"".join(map(_line, self.done.values())))
        return self.path.open("ab")


def read_results(folder: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Return the result of every clip, by id.

    Parameters
    ----------
    folder : as given to `transcribe_many`.

    Raises
    ------
    ConfigError : there are no results, or what lies there is none.
    """
    path = Path(folder) / RESULTS
    if not path.is_file():
        raise ConfigError(f"no results at {path}")
    return {clip_id: row for row in _whole_rows(path) for clip_id in row["ids"]}


def _whole_rows(path: Path) -> list[dict[str, Any]]:
    content = path.read_bytes() if path.is_file() else b""
    rows = []
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), 1):
        try:
            row = json.loads(line)
            row["digest"], row["ids"], row["retryable"]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{path}:{number} is no result: {error!r}", hint="move the file away"
            ) from error
        rows.append(row)
    return rows


def _line(row: dict[str, Any]) -> bytes:
    # A file's name that is no UTF-8 holds surrogates, which JSON can write as escapes alone.
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode(errors="backslashreplace") + b"\n"
