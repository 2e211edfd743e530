"""Stages whose results are kept: what was finished once is read, not done again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from trtforge._files import write_bytes
from trtforge._progress import Stage, Stages

T = TypeVar("T")

# Raise it where a stage comes to give another result for the same inputs.
_FORMAT = 4


class StageStore:
    """Runs stages and keeps each result as a JSON file named by a digest of all that it depends on.

    Parameters
    ----------
    folder : where results are kept.
    stages : times the stages and shows their progress.

    Attributes
    ----------
    kept : names of the stages whose results were there.
    """

    def __init__(self, folder: Path, stages: Stages) -> None:
        self.folder, self.stages = folder, stages
        self.kept: list[str] = []

    def stage(
        self,
        name: str,
        kind: type[T] | Any,
        inputs: Mapping[str, Any],
        work: Callable[[Stage], T],
        *,
        note: Callable[[T], str],
        is_current: bool = True,
    ) -> T:
        """Return the result of a stage, from its file where the same inputs gave it before.

        Parameters
        ----------
        name : of the stage.
        kind : type of the result, which msgspec reads and writes.
        inputs : all that the result depends on: values of earlier stages, settings, digests of networks.
        work : does the stage; it is given what shows progress.
        note : says in a few words what came out.
        is_current : False does the stage again in any case.

        Raises
        ------
        TrtforgeError : the work failed; nothing is kept of it, and earlier stages stay.
        """
        digest = hashlib.sha256(msgspec.json.encode([_FORMAT, name, inputs], order="sorted")).hexdigest()
        path = self.folder / f"{name}-{digest[:16]}.json"
        with self.stages.stage(name) as stage:
            result: T | None = _read(path, kind) if is_current else None
            if result is not None:
                self.kept.append(name)
                stage.note(f"{note(result)} (kept)")
                return result
            made = work(stage)
            write_bytes(path, msgspec.json.format(msgspec.json.encode(made), indent=1))
            stage.note(note(made))
            return made


def _read(path: Path, kind: Any) -> Any:
    """Read a kept result; None where there is none, or it is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
