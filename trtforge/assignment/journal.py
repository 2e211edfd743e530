"""Scores on disk, so that a search that was stopped goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from trtforge._files import read_json, write_json
from trtforge.assignment.score import Score
from trtforge.errors import ConfigError

_FORMAT = "trtforge.search_journal/1"


class Journal:
    """Scores by the groups that were left in floating point; each is written as soon as it is known.

    Parameters
    ----------
    key : all that decides the scores, as plain JSON values: digests of network, scales and clips, settings.
    path : the JSON file; None keeps the scores in memory alone.

    Raises
    ------
    ConfigError : the file is no journal, or is one of another search.
    """

    def __init__(self, key: Mapping[str, Any], path: str | os.PathLike[str] | None = None) -> None:
        self.key = dict(key)
        self.path = None if path is None else Path(path)
        self._scores: dict[tuple[str, ...], Score] = {}
        if self.path is not None and self.path.exists():
            self._read(self.path)

    def __len__(self) -> int:
        return len(self._scores)

    def get(self, left_out: Collection[str]) -> Score | None:
        """Return the score with these groups left in floating point, or None where it is not known."""
        return self._scores.get(tuple(sorted(left_out)))

    def add(self, left_out: Collection[str], score: Score) -> None:
        """Note a score; the file is replaced whole or not at all."""
        self._scores[tuple(sorted(left_out))] = score
        if self.path is None:
            return
        rows = [{"left_out": list(names), "score": found.to_json()} for names, found in self._scores.items()]
        write_json(self.path, {"format": _FORMAT, "key": self.key, "scores": rows})

    def _read(self, path: Path) -> None:
        value = read_json(path, what="search journal", error=ConfigError)
        if not isinstance(value, dict) or value.get("format") != _FORMAT:
            raise ConfigError(f'{path} is no search journal: it lacks "format": "{_FORMAT}"')
        key = value.get("key")
        if not isinstance(key, dict):
            raise ConfigError(f"{path} is a damaged search journal: it does not say of which search")
        if differing := [name for name in self.key if key.get(name) != self.key[name]]:
            raise ConfigError(
                f"{path} is the journal of another search: {', '.join(differing)} differ",
                hint="name another file, or remove this one to begin anew",
                settings=("journal",),
            )
        try:
            self._scores = {tuple(row["left_out"]): Score.from_json(row["score"]) for row in value["scores"]}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{path} is a damaged search journal: {error!r}") from error
