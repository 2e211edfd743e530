"""What a session does beside running: counted, and said once where it costs something."""

from __future__ import annotations

import threading
import warnings


class Counts:
    """Counters that several threads may raise, and warnings that are given once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted = {"layout_copies": 0, "masked_values": 0, "memory_retries": 0}
        self._said: set[str] = set()

    def add(self, **counted: int) -> None:
        """Raise counters by name."""
        with self._lock:
            for name, count in counted.items():
                self._counted[name] += count

    def warn_once(self, message: str) -> None:
        """Give a ``RuntimeWarning``, unless it was given before."""
        with self._lock:
            if message in self._said:
                return
            self._said.add(message)
        warnings.warn(message, RuntimeWarning, stacklevel=2)

    def snapshot(self) -> dict[str, int]:
        """Return the counters as they are now."""
        with self._lock:
            return dict(self._counted)
