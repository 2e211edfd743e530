"""Remember how long builds took, to tell how long one will take."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from trtforge._files import write_json

_MAX_ENTRIES = 200


class BuildDurations:
    """A small file of build times, beside the timing cache on which they depend.

    It serves an estimate alone: one that cannot be read or written is passed over in silence.

    Parameters
    ----------
    path : the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def expected_seconds(self, key: str) -> float | None:
        """Return how long the same build took the last time, or None where that is not known."""
        return self._read().get(key)

    def note(self, key: str, seconds: float) -> None:
        """Remember how long a build took; beyond 200 the oldest is forgotten."""
        entries = {name: value for name, value in self._read().items() if name != key}
        entries[key] = round(seconds, 3)
        with suppress(OSError):
            write_json(self.path, dict(list(entries.items())[-_MAX_ENTRIES:]))

    def _read(self) -> dict[str, float]:
        try:
            record = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        entries = record.items() if isinstance(record, dict) else ()
        return {name: value for name, value in entries if isinstance(value, float) and value > 0}
