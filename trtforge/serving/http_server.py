"""A small HTTP/1.1 server of the standard library: bounded bodies, bounded connections."""

from __future__ import annotations

import io
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from trtforge.errors import TrtforgeError
from trtforge.serving.body_memory import BodyLease, BodyMemory

MAX_BODY_BYTES = 32 * 2**20
MAX_CONNECTIONS = 256
MAX_HELD_BYTES = 2**30
# What of a body is read before it is asked whether there is room for more.
_PART_BYTES = 2**20
# Between two bytes, and for a whole request; and for the last answers at the end.
_IDLE_SECONDS, _ARRIVAL_SECONDS, _LAST_ANSWERS_SECONDS = 30.0, 60.0, 5.0


@dataclass(frozen=True)
class Request:
    """A request as it came; names of headers are in lower case, values of one name joined by commas."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Response:
    """What is sent back."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Respond = Callable[[Request], Response]


def json_response(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response of JSON."""
    return Response(status, (json.dumps(value) + "\n").encode(), headers=headers or {})


def error_response(
    status: int,
    code: str,
    message: str,
    *,
    hint: str | None = None,
    retryable: bool = False,
    retry_after: float | None = None,
) -> Response:
    """Return a response that tells an error to programs and people."""
    error = {"code": code, "message": message, "hint": hint, "retryable": retryable}
    headers = {} if retry_after is None else {"Retry-After": str(max(1, round(retry_after)))}
    return json_response(status, {"error": error}, headers)


def whole_number(text: str) -> int | None:
    """Return what plain digits mean; None for anything else, or more digits than sizes have."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def respond_to(request: Request, respond: Respond) -> Response:
    """Return the response of a request, that of an error where there is one."""
    try:
        return respond(request)
    except TrtforgeError as error:
        return error_response(500, error.code, error.message, hint=error.hint)
    except Exception as error:  # a bug must not leave the client without an answer
        return error_response(500, "internal", f"{type(error).__name__}: {error}")


class HttpServer:
    """Answers requests by a function, in a thread for each connection.

    Parameters
    ----------
    respond : makes the response of a request; it may block.
    address : host and port (0 for any that is free).
    max_body_bytes : longest body that is read.
    max_connections : connections beyond this, or beyond what threads can be started, are answered 503 and
        closed.
    max_held_bytes : of all bodies together, from their arrival to the answer; what is beyond is answered 503.
    """

    def __init__(
        self,
        respond: Respond,
        address: tuple[str, int],
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_connections: int = MAX_CONNECTIONS,
        max_held_bytes: int = MAX_HELD_BYTES,
    ) -> None:
        self._server = _Server(address, _Handler)
        self._server.respond = respond
        self._server.max_body_bytes = max_body_bytes
        self._server.memory = BodyMemory(max_held_bytes)
        self._server.places = threading.BoundedSemaphore(max_connections)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="trtforge-http",
            daemon=True,
        )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        found: Any = self._server.server_address
        return str(found[0]), int(found[1])

    def start(self) -> None:
        """Serve from another thread."""
        self._thread.start()

    def close(self, timeout: float = _LAST_ANSWERS_SECONDS) -> None:
        """Take no more connections, and wait until the answers to requests have left.

        Parameters
        ----------
        timeout : longest time to wait for clients that read slowly, in seconds.
        """
        self._server.shutdown()
        self._server.server_close()
        self._server.answering.wait_none(timeout)


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    allow_reuse_address = True
    respond: Respond
    max_body_bytes: int
    places: threading.BoundedSemaphore
    memory: BodyMemory

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.answering = _Answering()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self.places.acquire(blocking=False):
            try:
                super().process_request(request, client_address)
                return
            except RuntimeError:  # no thread can be started: the machine is as full as the server would be
                self.places.release()
        with suppress(OSError):
            request.sendall(
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
                b"Content-Length: 0\r\n\r\n"
            )
        request.close()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a connection that broke go."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "trtforge", ""
    wbufsize = -1  # headers and body leave together
    server: Any

    def setup(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()
        self.rfile.close()
        self._arriving = _Arriving(self.connection)
        self.rfile = io.BufferedReader(self._arriving)

    def handle_one_request(self) -> None:
        self._arriving.due = time.monotonic() + _ARRIVAL_SECONDS
        super().handle_one_request()

    def do_GET(self) -> None:
        # A body is not read, so what follows on this connection would not be a request.
        has_body = self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers
        self.close_connection = self.close_connection or has_body
        self._serve("GET", b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        lengths = self.headers.get_all("Content-Length", [])
        length = whole_number(lengths[0]) if len(lengths) == 1 else None
        if length is None or "Transfer-Encoding" in self.headers:
            self._refuse(411, "length_required", "a request with a body must say its Content-Length, once")
            return
        if length > self.server.max_body_bytes:
            limit = self.server.max_body_bytes
            self._refuse(413, "too_large", f"the body has {length} bytes, at most {limit} are read")
            return
        with self.server.memory.lease() as lease:
            try:
                body = self._read(length, lease)
            except TimeoutError:
                self._refuse(408, "too_slow", f"the body's {length} bytes did not arrive in time")
                return
            except MemoryError:
                full = "the requests under way fill the memory set aside for them"
                self._refuse(503, "unavailable", full, retryable=True, retry_after=1.0)
                return
            if len(body) < length:
                self._refuse(400, "cut_short", f"the body ended after {len(body)} of {length} bytes")
                return
            self._serve("POST", body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Tell in JSON what the base class would tell in HTML, such as a method that there is not."""
        self._refuse(int(code), "http", message or self.responses[HTTPStatus(code)][0])

    def address_string(self) -> str:
        return "client"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log nothing: metrics tell what happens."""

    def _serve(self, method: str, body: bytes) -> None:
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            before = headers.get(name.lower())
            headers[name.lower()] = value.strip() if before is None else f"{before}, {value.strip()}"
        with self.server.answering:
            self._send(respond_to(Request(method, self.path, headers, body), self.server.respond))

    def _read(self, length: int, lease: BodyLease) -> bytes:
        parts: list[bytes] = []
        while length:
            part = self.rfile.read(min(length, _PART_BYTES))
            if not part:
                break
            lease.take(len(part))
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def _refuse(self, status: int, code: str, message: str, **more: Any) -> None:
        self.close_connection = True  # the body was not read
        self._send(error_response(status, code, message, **more))

    def _send(self, response: Response) -> None:
        self.connection.settimeout(_IDLE_SECONDS)
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        for name, value in response.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)
        self.wfile.flush()


class _Arriving(io.RawIOBase):
    """Reads from a socket what arrives by ``due``, however slowly it is sent."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket, self.due = connected, 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.due - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request did not arrive in time")
        self._socket.settimeout(min(left, _IDLE_SECONDS))
        return self._socket.recv_into(buffer)


class _Answering:
    """Counts the requests that are being answered; enter it for each."""

    def __init__(self) -> None:
        self._changed, self._count = threading.Condition(), 0

    def __enter__(self) -> None:
        with self._changed:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def wait_none(self, timeout: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._count == 0, timeout)
