"""The process that holds the models: serves on a Unix socket until it is told to drain, or loses its GPU."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from trtforge.errors import DeviceLostError, EngineIntegrityError, TrtforgeError
from trtforge.serving.assembly import load_factory
from trtforge.serving.channel import ChannelServer
from trtforge.serving.process_ends import BAD_SETTINGS, CORRUPT_ENGINE, LOST, NOT_NOW

_LAST_ANSWERS_SECONDS = 0.5


def main() -> int:
    """Run until told to end; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m trtforge.serving.child")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--factory", required=True)
    parser.add_argument("--settings", required=True)
    parser.add_argument("--drain-seconds", type=float, default=30.0)
    args = parser.parse_args()
    ending, was_lost = threading.Event(), threading.Event()

    def lose() -> None:
        was_lost.set()
        ending.set()

    for number in (signal.SIGTERM, signal.SIGINT):  # until it serves there is nothing to finish
        signal.signal(number, signal.SIG_DFL)
    try:
        service = load_factory(args.factory)(json.loads(args.settings), lose)
    except TrtforgeError as error:
        print(f"error {error.code}  {error}", file=sys.stderr, flush=True)
        return _status_of(error)
    except OSError as error:
        print(f"error  a file cannot be read: {error}", file=sys.stderr, flush=True)
        return BAD_SETTINGS
    # Its parent holds the other end of standard input, which closes whatever ends it.
    threading.Thread(target=_end_with_parent, args=(ending,), daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    server = ChannelServer(service, Path(args.socket))
    server.start()
    ending.wait()
    if was_lost.is_set():
        _finish_answers(server, _LAST_ANSWERS_SECONDS)
        os._exit(LOST)  # a lost GPU can hang what tidies up
    service.drain(args.drain_seconds)
    _finish_answers(server, _LAST_ANSWERS_SECONDS)
    server.close()
    for worker in service.workers.values():
        worker.close(0.0)
    return 0


def _status_of(error: TrtforgeError) -> int:
    """Return what to exit with where the models cannot be loaded."""
    if isinstance(error, DeviceLostError):
        return LOST
    if isinstance(error, EngineIntegrityError):
        return CORRUPT_ENGINE
    return NOT_NOW if error.retryable else BAD_SETTINGS


def _end_with_parent(ending: threading.Event) -> None:
    # Unbuffered: a buffered reader holds a lock that the interpreter wants at its end.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    ending.set()


def _finish_answers(server: ChannelServer, seconds: float) -> None:
    end = time.monotonic() + seconds
    while server.num_active and time.monotonic() < end:
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main())
