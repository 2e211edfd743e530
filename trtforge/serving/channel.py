"""Requests from the process in front to the one that holds the models, over connections that stay open."""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import threading
from pathlib import Path
from typing import Any

from trtforge.serving.http_server import Request, Respond, Response, respond_to

# A message: the sizes of its head and body in bytes, a head of JSON, the body.
_SIZES = struct.Struct("!IQ")
_BUFFER_BYTES = 1 << 16
_MAX_IDLE = 64


class _Channel:
    """Messages over a connected socket, one at a time."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._reader = connected.makefile("rb", _BUFFER_BYTES)

    def send(self, head: Any, body: bytes) -> None:
        words = json.dumps(head).encode()
        self.socket.sendall(b"".join((_SIZES.pack(len(words), len(body)), words, body)))

    def receive(self) -> tuple[Any, bytes]:
        head_bytes, body_bytes = _SIZES.unpack(self._read(_SIZES.size))
        return json.loads(self._read(head_bytes)), self._read(body_bytes)

    def close(self) -> None:
        self._reader.close()
        self.socket.close()

    def _read(self, size: int) -> bytes:
        found: bytes = self._reader.read(size)
        if len(found) < size:
            raise ConnectionResetError("the other process closed the connection")
        return found


class Channels:
    """Asks a `ChannelServer`, by as many connections as there are requests under way.

    A connection is kept for later requests: to make one costs the process that holds the models a thread, and
    turns at Python's global lock, which it has least of when it is busiest. A request is sent once, whatever
    becomes of it.

    Parameters
    ----------
    path : of the Unix socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._idle: list[_Channel] = []
        self._generation = 0

    def ask(self, request: Request, timeout: float | None) -> Response:
        """Send a request and wait for its response.

        Parameters
        ----------
        timeout : longest time to wait for a part of it, in seconds.

        Raises
        ------
        OSError : the other process is not there, ended, or did not answer in time.
        """
        with self._lock:
            generation = self._generation
            channel = self._idle.pop() if self._idle else None
        if channel is None:
            channel = _connect(self._path, timeout)
        try:
            channel.socket.settimeout(timeout)
            channel.send([request.method, request.path, dict(request.headers)], request.body)
            (status, content_type, headers), body = channel.receive()
        except BaseException:
            channel.close()
            raise
        with self._lock:
            is_kept = generation == self._generation and len(self._idle) < _MAX_IDLE
            if is_kept:
                self._idle.append(channel)
        if not is_kept:
            channel.close()
        return Response(status, body, content_type, headers)

    def drop(self) -> None:
        """Close what is kept: the process at the other end is another one from now on."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._generation += 1
        for channel in idle:
            channel.close()


def _connect(path: Path, timeout: float | None) -> _Channel:
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(timeout)
        connected.connect(str(path))
    except BaseException:
        connected.close()
        raise
    return _Channel(connected)


class ChannelServer:
    """Answers `Channels` by a function, in a thread for each connection; who connects bounds their number.

    Parameters
    ----------
    respond : makes the response of a request; it may block.
    path : of the Unix socket.
    """

    def __init__(self, respond: Respond, path: Path) -> None:
        self._server = _Server(str(path), _Handler)
        self._server.respond = respond
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="trtforge-channels",
            daemon=True,
        )

    @property
    def num_active(self) -> int:
        """Requests that are being answered."""
        return self._server.num_active

    def start(self) -> None:
        """Serve from another thread."""
        self._thread.start()

    def close(self) -> None:
        """Take no more connections."""
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024
    respond: Respond
    num_active = 0
    active_lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a connection that broke go."""


class _Handler(socketserver.BaseRequestHandler):
    server: Any

    def handle(self) -> None:
        channel = _Channel(self.request)
        while True:
            (method, path, headers), body = channel.receive()
            self._count(1)
            try:
                response = respond_to(Request(method, path, headers, body), self.server.respond)
                channel.send([response.status, response.content_type, dict(response.headers)], response.body)
            finally:
                self._count(-1)

    def _count(self, more: int) -> None:
        with self.server.active_lock:
            self.server.num_active += more
