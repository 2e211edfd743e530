"""Rows of a data set: which columns hold what, and how a row becomes a clip and its audio file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from trtforge._optional import require
from trtforge.audio.clip import Clip, describe
from trtforge.audio.manifest import is_name, is_text
from trtforge.errors import ClipError

Column: TypeAlias = "str | Callable[[Mapping[str, Any]], Any]"


@dataclass(frozen=True)
class Columns:
    """Which columns of a data set hold what a clip needs.

    Everywhere but for ``audio`` a function of the row may stand instead of a column's name; it is given the
    row without its audio.

    Parameters
    ----------
    audio : column with audio files: a ``datasets.Audio`` feature, paths as text, or the files' bytes.
    text : what is said; None where nobody wrote it down.
    strata : axis to column. A value that is missing or empty leaves the clip without that axis.
    id : the clips' ids; the data set's name and the number of the row by default.
    """

    audio: str = "audio"
    text: Column | None = "text"
    strata: Mapping[str, Column] = field(default_factory=dict)
    id: Column | None = None

    def names(self) -> list[str]:
        """Return the names of the columns that are not computed."""
        return [c for c in (self.audio, self.text, self.id, *self.strata.values()) if isinstance(c, str)]


class RowError(Exception):
    """A row that cannot be used, with the id of the clip it would have been and the reason."""

    def __init__(self, clip_id: str, reason: str) -> None:
        super().__init__(reason)
        self.clip_id = clip_id
        self.reason = reason


@dataclass(frozen=True)
class RowReader:
    """Makes clips of rows.

    Parameters
    ----------
    columns : which columns hold what.
    class_names : of each column of numbered classes, what gives a class its name.
    license : under which the clips may be used.
    root : folder from which relative paths start.
    name : of the data set.
    """

    columns: Columns
    class_names: Mapping[str, Callable[[int], str]]
    license: str | None
    root: Path | None
    name: str

    def read(self, row: Mapping[str, Any], cell: Any, index: int) -> tuple[Clip, Path | bytes]:
        """Return the clip of a row and its audio file.

        Parameters
        ----------
        row : the row without its audio.
        cell : its audio, as `read_cell` takes it.
        index : the row's number.

        Raises
        ------
        RowError : the audio cannot be read, or a value is of the wrong kind.
        """
        clip_id = f"{self.name}-{index:06d}"
        columns = self.columns
        try:
            if columns.id is not None:
                named = self._text(row, columns.id, "id")
                if named is None or not is_name(named):
                    raise ClipError(f"clip {clip_id!r}: its id is missing, empty or no text: {named!r:.80}")
                clip_id = named
            text = None if columns.text is None else self._text(row, columns.text, "text")
            values = {axis: self._text(row, column, axis) for axis, column in columns.strata.items()}
            source = read_cell(cell, self.root, clip_id)
            clip = describe(
                clip_id,
                source,
                text=text,
                license=self.license,
                strata={axis: value for axis, value in values.items() if value},
                recipe={"dataset": self.name, "row": index},
            )
        except ClipError as error:
            raise RowError(clip_id, error.message) from error
        return clip, source

    def _text(self, row: Mapping[str, Any], column: Column, what: str) -> str | None:
        value = column(row) if callable(column) else row.get(column)
        if isinstance(column, str) and column in self.class_names and isinstance(value, int):
            value = self.class_names[column](value) if value >= 0 else None
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if not isinstance(value, str | int | float):
            raise ClipError(f"the row's {what} is {type(value).__name__}, not text or a number")
        if not is_text(str(value)):
            raise ClipError(f"the row's {what} is no text: {value!r:.80}")
        return str(value)


def read_cell(cell: Any, root: Path | None, clip_id: str) -> Path | bytes:
    """Return the audio file that a cell of a data set holds or names.

    Parameters
    ----------
    cell : ``{"bytes": ..., "path": ...}`` as a ``datasets.Audio`` that does not decode gives it, a path, or
        the file's bytes.
    root : folder from which relative paths start; the working directory by default.
    clip_id : id that errors name.

    Returns
    -------
    The file's bytes where the cell holds them or its path is remote, otherwise its absolute path.

    Raises
    ------
    ClipError : the cell holds neither bytes nor a path, or the remote file cannot be read.
    """
    if isinstance(cell, bytes):
        return cell
    content, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, Mapping) else (None, cell)
    if content is not None:
        return bytes(content)
    if not isinstance(path, str) or not path:
        held = (
            f"{type(cell).__name__} with {', '.join(map(str, cell))}" if isinstance(cell, Mapping) else cell
        )
        raise ClipError(
            f"clip {clip_id!r}: its audio is {held!r:.80}, not a file's bytes or path", clip_id=clip_id
        )
    if "://" not in path:
        return ((root or Path()) / path).absolute()
    fsspec = require("fsspec", "read remote audio files")
    try:
        with fsspec.open(path, "rb") as file:
            return bytes(file.read())
    except Exception as error:  # each kind of store raises its own, or lacks a package of its own
        raise ClipError(f"clip {clip_id!r}: cannot read {path}: {error}", clip_id=clip_id) from error
