"""Send requests at a given rate, whatever becomes of them, and tell what became of each.

Run these in a process of their own (`sender`): beside a server they would share Python's global lock.
"""

from __future__ import annotations

import http.client
import json
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

_NUM_SENDERS = 128
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Sent:
    """One request; times on one clock, in seconds.

    Parameters
    ----------
    at, ended : when it was sent, and its answer there.
    status : of HTTP; 0 where the connection broke.
    tier : which model made the answer; empty where there is none.
    is_retryable : whether an error said so.
    """

    at: float
    ended: float
    status: int
    tier: str
    is_retryable: bool


@contextmanager
def sender() -> Iterator[Callable[..., Any]]:
    """Start a process to send from, and yield what calls a function there and waits for what it returns."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        process.submit(time.monotonic).result()  # started, and imported

        def apart(function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
            return process.submit(function, *args, **keywords).result()

        yield apart


def send(
    port: int, path: str, bodies: Sequence[bytes], *, rate: float, seconds: float, seed: int = 0
) -> list[Sent]:
    """Send requests that come at random, so many a second on average.

    They are sent when their time has come, whether or not others were answered, as long as fewer than 128 are
    under way.

    Parameters
    ----------
    port : of the server on this machine.
    path : where to post.
    bodies : taken in turns.
    rate : requests a second.
    seconds : for how long.
    """
    random_ = random.Random(seed)  # noqa: S311 - a simulation of arrivals
    waiting: queue.Queue[bytes | None] = queue.Queue()
    done: list[Sent] = []

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
        while (body := waiting.get()) is not None:
            done.append(_post(connection, path, body))
        connection.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(_NUM_SENDERS)]
    for thread in threads:
        thread.start()
    begin = when = time.monotonic()
    index = 0
    while when < begin + seconds:
        time.sleep(max(0.0, when - time.monotonic()))
        waiting.put(bodies[index % len(bodies)])
        index += 1
        when += random_.expovariate(rate)
    for _ in threads:
        waiting.put(None)
    for thread in threads:
        thread.join()
    return done


def saturate(port: int, path: str, bodies: Sequence[bytes], *, clients: int, seconds: float) -> float:
    """Return the requests a second that are answered while so many clients each have one under way."""
    end = time.monotonic() + seconds
    counts = [0] * clients

    def work(index: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
        turn = index
        while time.monotonic() < end:
            sent = _post(connection, path, bodies[turn % len(bodies)])
            counts[index] += sent.status == 200 and sent.ended <= end
            turn += clients
        connection.close()

    threads = [threading.Thread(target=work, args=(index,), daemon=True) for index in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def _post(connection: http.client.HTTPConnection, path: str, body: bytes) -> Sent:
    at = time.monotonic()
    try:
        connection.request("POST", path, body)
        answer = connection.getresponse()
        content = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError):
        connection.close()
        return Sent(at, time.monotonic(), 0, "", False)
    error = content.get("error", {})
    return Sent(
        at, time.monotonic(), answer.status, content.get("tier", ""), bool(error.get("retryable", False))
    )
