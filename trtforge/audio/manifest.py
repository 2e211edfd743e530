"""Read the manifests of clip sets: one JSON object a line, none of them trusted."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trtforge.errors import ClipSetError

MANIFEST_NAME = "manifest.jsonl"

# Far beyond any recording, far below where arithmetic on floats overflows.
MAX_SECONDS = 1_000_000
_MAX_COUNT = 1_000_000_000_000

CLIP_SET_HINT = (
    f'a clip set is a folder with {MANIFEST_NAME}, one line for each clip, such as {{"id": "a-1", '
    '"path": "a-1.flac", "text": "hello there", "strata": {"noise": "none"}}, and the audio files in it'
)


@dataclass(frozen=True)
class ManifestEntry:
    """One line of a manifest; what the line leaves out is None.

    Parameters
    ----------
    line : number of the line, from 1.
    id : unique in the manifest.
    path : of the audio file, relative to the manifest's folder and inside it.
    text : what is said.
    duration : in seconds.
    num_samples : samples of one channel, at the file's own sampling rate.
    sampling_rate : of the file, in Hz.
    sha256 : of the file, 64 lower-case hexadecimal digits.
    license : under which the clip may be used.
    strata : axis to value, such as ``{"noise": "babble"}``.
    recipe : how the clip was made or where it was taken from, as plain JSON values.
    """

    line: int
    id: str
    path: str
    text: str | None = None
    duration: float | None = None
    num_samples: int | None = None
    sampling_rate: int | None = None
    sha256: str | None = None
    license: str | None = None
    strata: Mapping[str, str] = field(default_factory=dict, hash=False)
    recipe: Mapping[str, Any] = field(default_factory=dict, hash=False)


def find_manifest(path: str | os.PathLike[str]) -> Path:
    """Return the manifest that ``path`` is, or that the folder ``path`` holds.

    Raises
    ------
    ClipSetError : there is none.
    """
    asked = Path(path)
    manifest = asked / MANIFEST_NAME if asked.is_dir() else asked
    if manifest.is_file():
        return manifest
    if asked.is_dir():
        raise ClipSetError(f"no clip set in {asked}: the folder has no {MANIFEST_NAME}", hint=CLIP_SET_HINT)
    raise ClipSetError(f"no clip set at {asked}: there is no such folder or manifest", hint=CLIP_SET_HINT)


def read_manifest(manifest: Path) -> tuple[ManifestEntry, ...]:
    """Read and check every line of a manifest; blank lines and unknown keys are passed over.

    Raises
    ------
    ClipSetError : the manifest has no clips, or a line is malformed, repeats an id, or names a file outside
        the manifest's folder; the message has the line's number.
    """
    folder = manifest.parent.resolve()
    entries: dict[str, ManifestEntry] = {}
    for number, value in read_lines(manifest):
        where = f"{manifest}, line {number}"
        entry = _parse(value, number, where)
        if entry.id in entries:
            raise ClipSetError(
                f"{where}: id {entry.id!r} was used before, on line {entries[entry.id].line}",
                hint="give every clip an id of its own",
            )
        _check_path(entry.path, folder, where)
        entries[entry.id] = entry
    if not entries:
        raise ClipSetError(f"{manifest} names no clips", hint=CLIP_SET_HINT)
    return tuple(entries.values())


def read_lines(manifest: Path, *, hint: str = CLIP_SET_HINT) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number of each line, from 1, and the JSON object on it; blank lines are passed over.

    Raises
    ------
    ClipSetError : the file cannot be read or is not text, or a line is not a JSON object; the message has the
        line's number and ends with ``hint``.
    """
    try:
        with manifest.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, _parse_object(line, f"{manifest}, line {number}", hint)
    except UnicodeDecodeError as error:
        raise ClipSetError(f"{manifest} is not UTF-8 text: {error}", hint=hint) from error
    except OSError as error:
        raise ClipSetError(f"cannot read {manifest}: {error}") from error


def _parse_object(line: str, where: str, hint: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ClipSetError(f"{where}: not a JSON object: {error}", hint=hint) from error
    if not isinstance(value, dict):
        raise ClipSetError(f"{where}: not a JSON object but {type(value).__name__}", hint=hint)
    return value


def _parse(value: dict[str, Any], number: int, where: str) -> ManifestEntry:
    for key in ("id", "path"):
        if value.get(key) is None:
            raise ClipSetError(f"{where}: the key {key!r} is missing", hint=CLIP_SET_HINT)
    known = {}
    for key, (rule, fits) in _RULES.items():
        if (given := value.get(key)) is not None:
            if not fits(given):
                raise ClipSetError(f"{where}: {key!r} must be {rule}, got {given!r:.80}")
            known[key] = given
    if "sha256" in known:
        known["sha256"] = known["sha256"].lower()
    return ManifestEntry(line=number, **known)


def _check_path(path: str, folder: Path, where: str) -> None:
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise ClipSetError(f"{where}: path {path!r} leaves the manifest's folder", hint=_PATH_HINT)
    try:
        target = (folder / path).resolve()
    except (OSError, RuntimeError) as error:
        raise ClipSetError(f"{where}: path {path!r} cannot be followed: {error}") from error
    if not target.is_relative_to(folder):
        raise ClipSetError(f"{where}: path {path!r} leaves the manifest's folder by a link", hint=_PATH_HINT)


_PATH_HINT = "put the audio files into the folder of the manifest, and name them relative to it"


def is_text(value: Any) -> bool:
    """Say whether a value is text that a file can hold."""
    # JSON can spell half a surrogate pair, which no file name and no UTF-8 file can hold.
    return isinstance(value, str) and re.search("[\ud800-\udfff]", value) is None


def is_name(value: Any) -> bool:
    """Say whether a value is text that a file can be called."""
    return is_text(value) and bool(value) and "\0" not in value


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT


def is_seconds(value: Any) -> bool:
    """Say whether a value is a number of seconds that a recording can have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_SECONDS


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-fA-F]{64}", value) is not None


def _is_strata(value: Any) -> bool:
    return isinstance(value, dict) and all(is_text(item) for entry in value.items() for item in entry)


_RULES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "id": ("text that is not empty", is_name),
    "path": ("text that is not empty", is_name),
    "text": ("text", is_text),
    "duration": (f"a number of seconds from 0 to {MAX_SECONDS}", is_seconds),
    "num_samples": (f"a whole number from 0 to {_MAX_COUNT}", _is_count),
    "sampling_rate": (
        f"a whole number of Hz from 1 to {_MAX_COUNT}",
        lambda value: _is_count(value) and value > 0,
    ),
    "sha256": ("64 hexadecimal digits", _is_digest),
    "license": ("text", is_text),
    "strata": ('an object of text, such as {"snr": "20"}', _is_strata),
    "recipe": ("an object", lambda value: isinstance(value, dict)),
}
