"""Lease a bounded number of things, such as execution contexts, to threads in the order they asked."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from trtforge.errors import ExecutionError

T = TypeVar("T")


class LeasePool(Generic[T]):
    """Things that one thread at a time may use, made on demand.

    Who comes when all are leased waits, and is served in order.

    Parameters
    ----------
    make : makes one; its errors reach the thread that needed it.
    dispose : gives one back for good.
    max_size : most that exist at a time.
    """

    def __init__(self, make: Callable[[], T], dispose: Callable[[T], None], max_size: int) -> None:
        self._make, self._dispose = make, dispose
        self._lock = threading.Lock()
        self._all_back = threading.Condition(self._lock)
        self._idle: list[T] = []
        self._waiting: deque[_Waiter[T]] = deque()
        self._size = 0
        self._is_open = True
        self.max_size = max_size

    @property
    def size(self) -> int:
        """How many exist."""
        with self._lock:
            return self._size

    @property
    def idle(self) -> tuple[T, ...]:
        """Those that nobody leases at the moment."""
        with self._lock:
            return tuple(self._idle)

    def acquire(self) -> T:
        """Lease one, which must be given to `release` or `discard`; wait where all are leased.

        The one that came back last goes out first, so that what it has prepared is used again.

        Raises
        ------
        ExecutionError : the pool is closed.
        """
        with self._lock:
            if self._idle and self._is_open:
                return self._idle.pop()
            self._check_open()
            may_make = self._size < self.max_size
            if may_make:
                self._size += 1
            else:
                waiter: _Waiter[T] = _Waiter()
                self._waiting.append(waiter)
        return self._made() if may_make else self._waited(waiter)

    def release(self, item: T) -> None:
        """Take one back, for the thread that has waited longest."""
        with self._lock:
            if self._size <= self.max_size or not self._is_open:
                if self._waiting:
                    waiter = self._waiting.popleft()
                    waiter.items.append(item)
                    waiter.served.set()
                else:
                    self._idle.append(item)
                    if not self._is_open:
                        self._all_back.notify_all()
                return
            self._size -= 1
        self._dispose(item)

    def discard(self, item: T) -> None:
        """Take one back for good; a thread that waits may make another."""
        try:
            self._dispose(item)
        finally:
            self._one_less()

    def free_idle(self) -> int:
        """Give back for good those that nobody leases; return how many."""
        with self._lock:
            freed, self._idle = self._idle, []
            self._size -= len(freed)
        for item in freed:
            self._dispose(item)
        return len(freed)

    def limit(self, max_size: int) -> None:
        """Let no more than ``max_size`` exist from now on, and one at least."""
        with self._lock:
            self.max_size = max(1, min(self.max_size, max_size))

    def close(self) -> None:
        """Wait for all leases to end and give everything back; closing twice does nothing."""
        with self._lock:
            self._is_open = False
            waiting, self._waiting = self._waiting, deque()
            for waiter in waiting:
                waiter.is_refused = True
                waiter.served.set()
            while self._size > len(self._idle):
                self._all_back.wait()
        self.free_idle()

    def _check_open(self) -> None:
        if not self._is_open:
            raise ExecutionError("the session is closed", hint="make another Session")

    def _made(self) -> T:
        try:
            return self._make()
        except BaseException:
            self._one_less()
            raise

    def _waited(self, waiter: _Waiter[T]) -> T:
        try:
            waiter.served.wait()
        except BaseException:  # such as KeyboardInterrupt: what was handed over meanwhile goes on
            with self._lock:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
            if waiter.items:
                self.release(waiter.items[0])
            elif waiter.may_make:
                self._one_less()
            raise
        if waiter.is_refused:
            raise ExecutionError("the session was closed while this call waited", hint="make another Session")
        return waiter.items[0] if waiter.items else self._made()

    def _one_less(self) -> None:
        with self._lock:
            if self._waiting and self._size <= self.max_size:
                waiter = self._waiting.popleft()
                waiter.may_make = True
                waiter.served.set()
            else:
                self._size -= 1
                self._all_back.notify_all()


class _Waiter(Generic[T]):
    """A thread that waits: it is handed an item, or leave to make one, or is refused."""

    def __init__(self) -> None:
        self.served = threading.Event()
        self.items: list[T] = []
        self.may_make = False
        self.is_refused = False
