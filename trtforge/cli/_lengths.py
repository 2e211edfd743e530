"""Observed lengths as the command line takes them: clip sets, CSV columns, numbers on standard input."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trtforge.errors import ConfigError, ProfileError

_MAX_SECONDS = 1e7


@dataclass(frozen=True)
class ObservedLengths:
    """Lengths of all sources, and the rows that held none.

    Parameters
    ----------
    frames : the lengths, in frames of the network's input.
    empty_rows : CSV file to the number of its rows whose cell is empty; files without such rows are absent.
    """

    frames: list[int]
    empty_rows: dict[str, int]


def observed_lengths(
    sources: Sequence[str], *, column: str | None, unit: str, model: str | None
) -> ObservedLengths:
    """Gather lengths from all sources, in frames of the network's input.

    Parameters
    ----------
    sources : folders or manifests of clip sets, CSV files, and ``-`` for standard input.
    column : the CSV column to read.
    unit : ``frames`` or ``seconds``, for CSV columns and standard input.
    model : path of the network whose features turn seconds into frames; None for `LogMel`'s defaults.

    Raises
    ------
    ConfigError : a source is no clip set, and no column is given.
    ProfileError : a source holds no lengths, or something else than positive numbers.
    """
    found: list[int] = []
    empty_rows: dict[str, int] = {}
    for source in sources:
        path = Path(source)
        if source == "-":
            found += _as_frames(_standard_input(), unit, model, "standard input")
        elif path.is_dir() or path.suffix == ".jsonl":
            found += _clip_frames(path, model)
        elif column is None:
            raise ConfigError(
                f"{source} is no clip set", hint="name the column of a CSV file with --column NAME"
            )
        else:
            numbers, num_empty = _column(path, column)
            found += _as_frames(numbers, unit, model, source)
            if num_empty:
                empty_rows[source] = num_empty
    return ObservedLengths(found, empty_rows)


def _clip_frames(path: Path, model: str | None) -> list[int]:
    from trtforge.audio import ClipSet

    durations = ClipSet.load(path, verify=False).durations()
    # Resampling may give a sample more than the duration says.
    return _as_frames([float(seconds) for seconds in durations], "seconds", model, str(path), margin=1)


def _column(path: Path, column: str) -> tuple[list[float], int]:
    """Return the numbers of a column, and how many of its cells are empty."""
    numbers, num_empty = [], 0
    where = f"column {column!r} of {path}"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or ())
            if column not in columns:
                raise ProfileError(f"{path} has no column {column!r}, only {columns}")
            for row in reader:
                if cell := (row[column] or "").strip():
                    numbers.append(_number(cell, f"{where}, line {reader.line_num},"))
                else:
                    num_empty += 1
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProfileError(
            f"{path} is no CSV file in UTF-8: {error}", hint="save it again, as CSV with the encoding UTF-8"
        ) from None
    if not numbers:
        raise ProfileError(f"{where} holds no lengths")
    return numbers, num_empty


def _standard_input() -> list[float]:
    where = "standard input"
    lines: Iterable[tuple[int, str]] = enumerate(sys.stdin, 1)
    numbers = [
        _number(word, f"{where}, line {line},")
        for line, text in lines
        for word in text.replace(",", " ").split()
    ]
    if not numbers:
        raise ProfileError(f"{where} holds no lengths")
    return numbers


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ProfileError(f"{where} holds {text!r}, which is no positive number")
    return number


def _as_frames(
    numbers: Sequence[float], unit: str, model: str | None, where: str, *, margin: int = 0
) -> list[int]:
    if unit == "frames":
        if any(number != math.floor(number) for number in numbers):
            raise ProfileError(f"{where} holds fractions of frames", hint="say --unit seconds")
        return [int(number) for number in numbers]
    from trtforge.audio import LogMel, features_for_model
    from trtforge.model import load_model
    from trtforge.units import num_samples

    if not numbers or max(numbers) > _MAX_SECONDS:
        raise ProfileError(f"{where} holds no durations, or one above {_MAX_SECONDS:g} s")
    features = features_for_model(load_model(model)) if model else LogMel()
    return [features.num_frames(num_samples(seconds, features.sampling_rate) + margin) for seconds in numbers]
