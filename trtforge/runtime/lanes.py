"""The lanes of a session: made when they are needed, leased to one call each, and given back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from trtforge.errors import OutOfMemoryError, TrtforgeError
from trtforge.nvidia.execution import ProfileInUseError
from trtforge.runtime.counts import Counts
from trtforge.runtime.lane import Lane
from trtforge.runtime.pool import LeasePool
from trtforge.runtime.session_checks import LossNote


class Lanes(LeasePool[Lane]):
    """A pool of lanes that makes do with those it has where no further one can be made.

    Parameters
    ----------
    make : makes one.
    max_size : most that exist at a time.
    counts : where it is said that fewer have to do.
    loss : says whether the GPU was lost; nothing can be given back to it then.
    """

    def __init__(self, make: Callable[[], Lane], max_size: int, counts: Counts, loss: LossNote) -> None:
        super().__init__(self._new, self._close, max_size)
        self._asked, self._counts, self._loss = max_size, counts, loss
        self._make_lane = make
        self._alive: set[Lane] = set()
        self._replays_before = 0

    @property
    def alive(self) -> tuple[Lane, ...]:
        """Those that exist, leased or not."""
        return tuple(self._alive)

    @property
    def num_replays(self) -> int:
        """Calls that a CUDA graph ran, in lanes that were given back too."""
        return self._replays_before + sum(lane.num_replays for lane in self.alive)

    def lease(self) -> Lane:
        """Do as `acquire` does; where another lane cannot be made, wait for one of those that exist.

        Raises
        ------
        OutOfMemoryError, ProfileInUseError : there is none, and none can be made.
        """
        try:
            return self.acquire()
        except (OutOfMemoryError, ProfileInUseError) as error:
            existing = self.size
            if not existing:
                raise
            self.limit(existing)
            self._counts.warn_once(
                f"no more than {existing} of max_contexts={self._asked} contexts are used: {error.message}"
            )
        return self.acquire()

    def _new(self) -> Lane:
        lane = self._make_lane()
        self._alive.add(lane)
        return lane

    def _close(self, lane: Lane) -> None:
        self._alive.discard(lane)
        self._replays_before += lane.num_replays
        if self._loss.lost is None:
            lane.close()
        else:
            with suppress(TrtforgeError):
                lane.close()
