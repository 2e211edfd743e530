"""The process in front: passes requests to the one that holds the models, and starts that again."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trtforge.errors import ConfigError
from trtforge.serving.channel import Channels
from trtforge.serving.http_server import Request, Response, error_response, json_response
from trtforge.serving.process_ends import HOPELESS, ProcessEnds

STANDARD_FACTORY = "trtforge.serving.assembly:assemble"

_POLL_SECONDS = 0.05
_PROBE_SECONDS, _PAGE_SECONDS = 1.0, 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0
# A child that ran for so long counts as well, and what ends it then as new trouble.
_WELL_SECONDS = 60.0
# Of a Unix socket, in bytes; Linux has one for the zero at the end.
_LONGEST_ADDRESS = 107
_PASSED_ON = ("content-type", "x-trtforge-priority", "x-trtforge-deadline-ms", "x-trtforge-accept-lighter")


class Supervisor:
    """Keeps a child process with the models running, and answers for it while it does not; call it.

    A request whose process ends before it was answered is refused as retryable, with 503 and Retry-After: it
    is never sent twice, since it may be what ended the process. CUDA is not touched here, so that nothing on
    the GPU can take this process down.

    Parameters
    ----------
    settings : of the factory, in JSON values; `ServiceSettings.to_json` for the standard one.
    pipelines : names, for the metrics while no child answers.
    factory : ``module:function`` that makes a `Service` of the settings in the child.
    drain_seconds : longest time that requests are given to end when it is closed.
    hang_seconds : a child that answers no probe for so long is killed.

    Raises
    ------
    ConfigError : one of the times is negative or no number, or the folder of temporary files has too long a
        path.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        pipelines: Sequence[str],
        *,
        factory: str = STANDARD_FACTORY,
        drain_seconds: float = 30.0,
        hang_seconds: float = 30.0,
    ) -> None:
        for name, seconds in (("drain_seconds", drain_seconds), ("hang_seconds", hang_seconds)):
            if not 0 <= seconds < math.inf:
                raise ConfigError(f"{name} must be 0 or more, got {seconds}", settings=(name,))
        self._settings, self._pipelines, self._factory = settings, tuple(pipelines), factory
        self._drain_seconds, self._hang_seconds = drain_seconds, hang_seconds
        self._make_folder()
        self._child: subprocess.Popen[bytes] | None = None
        self._is_up, self._closing = False, threading.Event()
        self.num_restarts = 0
        self._ends = ProcessEnds()
        self.failure: str | None = None
        self._thread = threading.Thread(target=self._watch, name="trtforge-supervisor", daemon=True)

    @property
    def ready(self) -> bool:
        """Whether a child answers, and says that it is ready."""
        return self._is_up and not self._closing.is_set() and self._probe("/ready") == 200

    @property
    def process_id(self) -> int | None:
        """Of the child; None where there is none."""
        child = self._child
        return None if child is None or child.poll() is not None else child.pid

    def start(self) -> None:
        """Start the child, without waiting for it."""
        self._thread.start()

    def wait_ready(self, timeout: float) -> None:
        """Wait until requests are served.

        Raises
        ------
        ConfigError : the child found its settings wrong, or was not ready in time.
        """
        end = time.monotonic() + timeout
        while not self.ready:
            if self.failure is not None or time.monotonic() > end:
                raise ConfigError(
                    self.failure or f"the worker was not ready within {timeout:g} s",
                    hint="its own message stands above, on standard error",
                )
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Let the child answer what it has taken, and end it; closing twice does nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._thread.join()
        child = self._child
        if child is not None and child.poll() is None:
            child.terminate()
            try:
                child.wait(self._drain_seconds + 5.0)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._channels.drop()
        self._folder.cleanup()

    def __call__(self, request: Request) -> Response:
        """Answer a request: by the child, or for it."""
        path = request.path.partition("?")[0]
        if path == "/live" and request.method == "GET":
            return json_response(200, {"live": True, "restarts": self.num_restarts})
        if self._closing.is_set() and request.method == "POST":
            return self._unavailable("the service is shutting down")
        if not self._is_up and path != "/metrics":
            return self._unavailable("the worker is being started")
        timeout = None if request.method == "POST" else _PAGE_SECONDS
        try:
            response = self._pass_on(request, timeout)
        except OSError:
            if path == "/metrics":
                return Response(200, self._own_metrics(), "text/plain; version=0.0.4; charset=utf-8")
            return self._unavailable("the worker ended before it answered, and is started again")
        if path == "/metrics" and response.status == 200:
            return replace(response, body=response.body + self._ends.page())
        return response

    def _pass_on(self, request: Request, timeout: float | None) -> Response:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        return self._channels.ask(replace(request, headers=headers), timeout)

    def _unavailable(self, message: str) -> Response:
        return error_response(
            503, "unavailable", message, hint="send it again", retryable=True, retry_after=2.0
        )

    def _own_metrics(self) -> bytes:
        lines = ["# HELP trtforge_ready 1 where requests are taken, else 0.", "# TYPE trtforge_ready gauge"]
        lines += [f'trtforge_ready{{pipeline="{name}"}} 0.0' for name in self._pipelines]
        return ("\n".join(lines) + "\n").encode() + self._ends.page()

    def _probe(self, path: str) -> int | None:
        try:
            return self._pass_on(Request("GET", path, {}, b""), _PROBE_SECONDS).status
        except OSError:
            return None

    def _watch(self) -> None:
        pause = _FIRST_PAUSE
        while not self._closing.is_set():
            begun = time.monotonic()
            status = self._run_child()
            if self._closing.is_set():
                return
            if status in HOPELESS and self.num_restarts == 0:
                self.failure = "the worker refused its settings"
                return
            pause = (
                _FIRST_PAUSE if time.monotonic() - begun > _WELL_SECONDS else min(2 * pause, _LONGEST_PAUSE)
            )
            self.num_restarts += 1
            self._closing.wait(pause)

    def _make_folder(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="trtforge-")
        self._socket = Path(self._folder.name) / "worker.sock"
        if (size := len(os.fsencode(self._socket))) > _LONGEST_ADDRESS:
            raise ConfigError(
                f"the path of the worker's socket, {self._socket}, has {size} bytes; the system takes "
                f"at most {_LONGEST_ADDRESS}",
                hint="set TMPDIR to a folder with a shorter path",
            )
        self._channels = Channels(self._socket)

    def _run_child(self) -> int | None:
        """Run one child to its end; return its status, None where closing came first."""
        if not self._socket.parent.exists():  # something tidied up
            self._make_folder()
        self._socket.unlink(missing_ok=True)
        self._child = child = self._spawn()
        answered = time.monotonic()
        probed = 0.0
        has_answered = hung = False
        while (status := child.poll()) is None and not self._closing.wait(_POLL_SECONDS):
            now = time.monotonic()
            if now - probed < (_PROBE_SECONDS if self._is_up else _POLL_SECONDS):
                continue
            probed = now
            if self._socket.exists() and self._probe("/live") == 200:
                answered, self._is_up, has_answered = now, True, True
            elif has_answered and now - answered > self._hang_seconds:
                hung = True
                child.kill()
        if status is not None:
            self._is_up = False
            self._channels.drop()
            self._ends.note(status, hung=hung)
        return status

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", "trtforge.serving.child"),
            *("--socket", str(self._socket), "--factory", self._factory),
            *("--settings", json.dumps(self._settings), "--drain-seconds", str(self._drain_seconds)),
        ]
        # What this process can import, the child can: the current folder among them.
        paths = os.pathsep.join([path or os.getcwd() for path in sys.path])  # noqa: PTH109 - as sys.path has it
        environment = {**os.environ, "PYTHONPATH": paths}
        return subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)  # noqa: S603 - our own
