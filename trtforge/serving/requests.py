"""What waits in a worker, and what comes back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from trtforge.serving.admission import Priority, Ticket


@dataclass(frozen=True)
class Answer:
    """What came of a request.

    Parameters
    ----------
    value : the text, or output name to array.
    tier : ``full`` or ``lighter``: which model made it.
    model : that model's name.
    queue_seconds, seconds : time in the queue, and from admission to the answer.
    """

    value: Any
    tier: str
    model: str
    queue_seconds: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Entry:
    """A request that waits: its place in the order, what it holds, and the future of its answer."""

    ticket: Ticket
    content: Any
    future: Future[Answer]


class WaitingRequests:
    """Entries by priority, each in order of arrival; the worker's lock guards it."""

    def __init__(self) -> None:
        self._lines: dict[Priority, deque[Entry]] = {priority: deque() for priority in Priority}

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __iter__(self) -> Iterator[Entry]:
        for line in self._lines.values():
            yield from line

    def of(self, priority: Priority) -> tuple[Entry, ...]:
        """Return those of one priority."""
        return tuple(self._lines[priority])

    def count(self, priority: Priority) -> int:
        """Return how many of one priority wait."""
        return len(self._lines[priority])

    def put(self, entry: Entry) -> None:
        """Add the latest."""
        self._lines[entry.ticket.priority].append(entry)

    def pop(self, may_go: Callable[[Ticket], bool]) -> Entry | None:
        """Take out the first that may go; None where none may."""
        for line in self._lines.values():
            for entry in line:
                if may_go(entry.ticket):
                    line.remove(entry)
                    return entry
        return None

    def take_expired(self, now: float) -> list[Entry]:
        """Take out those whose deadline has passed."""
        return self._take(lambda entry: entry.ticket.due is not None and entry.ticket.due <= now)

    def take_all(self) -> list[Entry]:
        """Take all out."""
        return self._take(lambda entry: True)

    def _take(self, should_go: Callable[[Entry], bool]) -> list[Entry]:
        taken = []
        for priority, line in self._lines.items():
            going = [entry for entry in line if should_go(entry)]
            if going:
                taken += going
                self._lines[priority] = deque(entry for entry in line if not should_go(entry))
        return taken
