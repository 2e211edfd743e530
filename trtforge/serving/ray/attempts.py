"""Count how often work was begun and never ended: what kills its process cannot say so itself."""

from __future__ import annotations

from collections import Counter


class Attempts:
    """Begun and unfinished runs by key; one such object serves all actors of a job."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, key: str) -> int:
        """Note that work begins; return how often it was begun before and never finished."""
        before = self._begun[key]
        self._begun[key] += 1
        return before

    def finish(self, key: str) -> None:
        """Note that work ended, well or with an error that was caught."""
        del self._begun[key]

    def unfinished(self) -> dict[str, int]:
        """Return the keys of work that never ended, with how often it was begun."""
        return dict(self._begun)
