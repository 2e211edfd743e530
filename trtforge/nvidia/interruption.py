"""Let Ctrl-C end a call into a library that does not return for minutes."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from trtforge.nvidia.cuda import set_device
from trtforge.nvidia.current import current_device

Result = TypeVar("Result")

_POLL_SECONDS = 0.1
# One for each call that was left working; it is set when the work ends.
_abandoned: list[threading.Event] = []


def run_interruptibly(
    work: Callable[[], Result],
    cancel: Callable[[], None] | None,
    on_wait: Callable[[float], None] | None = None,
) -> Result:
    """Run ``work`` so that an interrupt of the main thread is heard while it is inside a library.

    Python hands an interrupt to the main thread alone, and only between two of its instructions: inside a
    library it would come when the call returns, or inside a callback, which may not raise. Called from the
    main thread, the work is done in another one, on the same GPU; elsewhere it is simply done.

    Parameters
    ----------
    work : what to do.
    cancel : asks the work to end soon; None where it cannot be asked.
    on_wait : called in the main thread with the seconds so far, several times a second; what it raises is
        taken as an interrupt.

    Returns
    -------
    What ``work`` returned.

    Raises
    ------
    KeyboardInterrupt : the main thread was interrupted. Where the work could be asked to end, it has, unless
        there was a second interrupt; else it goes on in the background, and its result is dropped.
    Exception : whatever ``work`` raised.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    returned: list[Result] = []
    raised: list[BaseException] = []
    device = current_device()

    # A join that is interrupted takes the thread for ended (Python 3.11), so an event tells of its end.
    ended = threading.Event()

    def do() -> None:
        try:
            if device:
                set_device(device)
            returned.append(work())
        except BaseException as error:
            raised.append(error)
        finally:
            ended.set()

    thread = threading.Thread(
        target=contextvars.copy_context().run, args=(do,), name="trtforge-build", daemon=True
    )
    thread.start()
    try:
        _wait(ended, on_wait)
    except BaseException:
        try:
            if cancel is not None:
                cancel()
                _wait(ended)
        finally:
            if not ended.is_set():
                _abandoned.append(ended)
        raise
    thread.join()
    if raised:
        raise raised[0]
    return returned[0]


def has_abandoned_work() -> bool:
    """Say whether a library still works for a caller who was interrupted; a process must not unload it."""
    return not all(ended.is_set() for ended in _abandoned)


def _wait(ended: threading.Event, on_wait: Callable[[float], None] | None = None) -> None:
    started = time.monotonic()
    while not ended.wait(_POLL_SECONDS):
        if on_wait is not None:
            on_wait(time.monotonic() - started)
