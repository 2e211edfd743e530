"""Blocks of audio that wait for a listener who may be slow."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


class WaitingBlocks:
    """A queue between the thread that records and the one that listens.

    What finds no place, or was lost before it came here, becomes silence of the same length where it would
    have stood: so the times of what follows stay those of the clock.

    Parameters
    ----------
    most : blocks that can wait.
    """

    def __init__(self, most: int) -> None:
        self._blocks: queue.Queue[tuple[int, Samples]] = queue.Queue(most)
        self._gap = 0
        self.num_lost = 0

    def put(self, samples: Samples, *, num_lost: int = 0) -> None:
        """Add a block, float32 [num_samples], before which so many samples were lost; never waits."""
        self._lose(num_lost)
        try:
            self._blocks.put_nowait((self._gap, samples))
        except queue.Full:
            self._lose(len(samples))
        else:
            self._gap = 0

    def get(self, timeout: float) -> Iterator[Samples]:
        """Yield the next block, after silence in place of what was lost before it.

        None comes where ``timeout`` seconds brought no block. Silence comes in pieces of the block's length
        or less.
        """
        try:
            gap, samples = self._blocks.get(timeout=timeout)
        except queue.Empty:
            return
        for start in range(0, gap, len(samples)):
            yield np.zeros(min(len(samples), gap - start), np.float32)
        yield samples

    def _lose(self, count: int) -> None:
        self._gap += count
        self.num_lost += count
