"""A bound of the memory that the bodies of requests hold together."""

from __future__ import annotations

import threading


class BodyMemory:
    """Counts the bytes that arrived and are still held, as announced ones cost nothing.

    Parameters
    ----------
    most : bytes that all requests together may hold.
    """

    def __init__(self, most: int) -> None:
        self._most, self._held, self._lock = most, 0, threading.Lock()

    def lease(self) -> BodyLease:
        """Return what one request holds of it, until it is left."""
        return BodyLease(self)

    def change(self, count: int) -> bool:
        """Take bytes or, below 0, give them back; False where there are not so many."""
        with self._lock:
            if self._held + count > self._most:
                return False
            self._held += count
            return True


class BodyLease:
    """Bytes of one request; leaving it gives them back."""

    def __init__(self, memory: BodyMemory) -> None:
        self._memory, self._held = memory, 0

    def __enter__(self) -> BodyLease:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.change(-self._held)

    def take(self, count: int) -> None:
        """Take more.

        Raises
        ------
        MemoryError : there are not so many.
        """
        if not self._memory.change(count):
            raise MemoryError
        self._held += count
