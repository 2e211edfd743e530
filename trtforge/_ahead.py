"""Read and prepare what comes next in threads, while what came before is used."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# More would read from memory faster than it gives.
_MAX_THREADS = 8


def thread_count() -> int:
    """Return how many threads to work in: the cores this process may use, up to what memory can feed."""
    return min(len(os.sched_getaffinity(0)), _MAX_THREADS)


def ahead(
    items: Iterable[Item], work: Callable[[Item], Result], *, num_ahead: int | None = None
) -> Iterator[Result]:
    """Yield ``work(item)`` of each item in order; one thread takes the items, others work on them.

    Parameters
    ----------
    items : read in a thread, one after another, from the first ``next`` on.
    work : called in several threads; worth it where it leaves the interpreter's lock, as FFTs and BLAS do.
    num_ahead : most items that are taken and not yet yielded, 1 or more; by default two for each thread.

    Raises
    ------
    Exception : what ``items`` or ``work`` raised, in the item's place; nothing follows it. No thread runs on
        after the end, an error, or a caller who stops early.
    """
    num_threads = thread_count()
    source = iter(items)
    reader = ThreadPoolExecutor(1, "trtforge-read-ahead")
    workers = ThreadPoolExecutor(num_threads, "trtforge-work-ahead")

    def take() -> Future[Result] | None:
        try:
            item = next(source)
        except StopIteration:
            return None
        return workers.submit(work, item)

    try:
        waiting = deque(reader.submit(take) for _ in range(num_ahead or 2 * num_threads))
        while (found := waiting.popleft().result()) is not None:
            waiting.append(reader.submit(take))
            yield found.result()
    finally:
        reader.shutdown(cancel_futures=True)
        workers.shutdown(cancel_futures=True)
