"""Turns at a machine on which several programs time something."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from trtforge._files import locked

VARIABLE = "TRTFORGE_TIMING_LOCK"
_PAUSE_SECONDS = 0.25


@contextmanager
def timing_turn() -> Iterator[None]:
    """Hold the file that the environment's ``TRTFORGE_TIMING_LOCK`` names, while something is timed.

    Programs that build and time at once then build side by side, and time one after another. Without the
    variable nothing is held.

    Raises
    ------
    OSError : the file cannot be made or locked.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        yield
        return
    with locked(path):
        yield
    time.sleep(_PAUSE_SECONDS)  # those who wait look now and then
