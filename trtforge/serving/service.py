"""The HTTP interface of workers: what each path and header means, and what each error becomes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from trtforge.errors import (
    ClipError,
    ConfigError,
    DeadlineError,
    DeviceLostError,
    InputError,
    ProfileError,
    TrtforgeError,
    UnavailableError,
)
from trtforge.serving.admission import Priority
from trtforge.serving.array_files import read_arrays, write_arrays
from trtforge.serving.http_server import Request, Response, error_response, json_response, whole_number
from trtforge.serving.metrics import MetricSink, PrometheusSink
from trtforge.serving.requests import Answer
from trtforge.serving.tasks import Transcription
from trtforge.serving.worker import Worker

_ARRAYS = "application/x-npz"


class Service:
    """Workers behind one HTTP server; call it with a request.

    ``POST /v1/transcribe`` and ``/v1/run`` (``/v1/NAME/...`` where there are several workers), ``GET /live``,
    ``/ready``, ``/metrics`` and ``/status``.

    Parameters
    ----------
    workers : the pipelines, by different names.
    sink : where their measurements went; ``/metrics`` needs a `PrometheusSink`.

    Raises
    ------
    ConfigError : there is no worker, or a name comes twice.
    """

    def __init__(self, workers: Sequence[Worker], sink: MetricSink) -> None:
        self.workers: Mapping[str, Worker] = {worker.name: worker for worker in workers}
        if not workers or len(self.workers) < len(workers):
            raise ConfigError(f"workers need different names, got {[each.name for each in workers]}")
        self._sink = sink

    def __call__(self, request: Request) -> Response:
        """Answer a request."""
        path = request.path.partition("?")[0]
        if request.method == "POST":
            return self._work(path, request)
        if path in _PAGES:
            return _PAGES[path](self)
        return _not_allowed("GET", path, "POST") if _names_work(path) else _no_such(path)

    def drain(self, timeout: float) -> bool:
        """Drain all workers at once; see `Worker.drain`."""
        with ThreadPoolExecutor(len(self.workers)) as threads:
            drained = list(threads.map(lambda worker: worker.drain(timeout), self.workers.values()))
        return all(drained)

    def _work(self, path: str, request: Request) -> Response:
        if not _names_work(path):
            return _not_allowed("POST", path, "GET") if path in _PAGES else _no_such(path)
        parts = path.strip("/").split("/")
        name = parts[1] if len(parts) == 3 else next(iter(self.workers))
        if name not in self.workers or (len(parts) == 2 and len(self.workers) > 1):
            return error_response(
                404, "no_such_pipeline", f"name one of {sorted(self.workers)}, as in /v1/NAME/{parts[-1]}"
            )
        worker = self.workers[name]
        takes_audio = isinstance(worker.models[min(worker.models)].task, Transcription)
        if takes_audio != (parts[-1] == "transcribe"):
            return error_response(404, "no_such_path", f"pipeline {name!r} has no {parts[-1]}")
        try:
            answer = self._submit(worker, request, takes_audio)
        except TrtforgeError as error:
            return _told(error)
        if takes_audio:
            return json_response(200, {"text": answer.value, **_about(answer)})
        about = {"X-Trtforge-Tier": answer.tier, "X-Trtforge-Model": answer.model}
        return Response(200, write_arrays(answer.value), _ARRAYS, about)

    def _submit(self, worker: Worker, request: Request, takes_audio: bool) -> Answer:
        headers, body = request.headers, request.body
        try:
            priority = Priority.of(headers.get("x-trtforge-priority", Priority.STANDARD.label))
            deadline = _seconds(headers.get("x-trtforge-deadline-ms"))
            accepts_lighter = _yes_or_no(headers.get("x-trtforge-accept-lighter"))
            if takes_audio and not body:
                self._sink.count("audio_rejected_total", "empty")
                raise ClipError("the body is empty, and should be an audio file")
            content: Any = body if takes_audio else read_arrays(body)
        except TrtforgeError:  # the worker never sees it
            self._sink.count("requests_total", worker.name, worker.state.tier.label, "invalid")
            raise
        return worker.submit(
            content,
            priority=priority,
            deadline=deadline,
            accepts_lighter=accepts_lighter,
            num_bytes=len(body),
        ).result()

    def _live(self) -> Response:
        stalled = [name for name, worker in self.workers.items() if not worker.alive]
        return json_response(503 if stalled else 200, {"live": not stalled, "stalled": stalled})

    def _ready(self) -> Response:
        life = {name: worker.life for name, worker in self.workers.items()}
        is_ready = all(worker.ready for worker in self.workers.values())
        return json_response(200 if is_ready else 503, {"ready": is_ready, "pipelines": life})

    def _metrics(self) -> Response:
        if not isinstance(self._sink, PrometheusSink):
            return error_response(404, "no_metrics", "metrics do not go to Prometheus here")
        return Response(200, self._sink.page(), self._sink.content_type)

    def _status(self) -> Response:
        return json_response(
            200,
            {
                name: {
                    "life": worker.life,
                    "tier": worker.state.tier.label,
                    "since_reason": worker.state.reason,
                    "full_load": round(worker.full_load, 4),
                    "running": worker.num_running,
                    "waiting": {each.label: len(worker.waiting(each)) for each in Priority},
                    "models": {tier.label: model.name for tier, model in worker.models.items()},
                }
                for name, worker in self.workers.items()
            },
        )


_PAGES: Mapping[str, Callable[[Service], Response]] = {
    "/live": Service._live,
    "/ready": Service._ready,
    "/metrics": Service._metrics,
    "/status": Service._status,
}


def _about(answer: Answer) -> dict[str, Any]:
    return {
        "tier": answer.tier,
        "model": answer.model,
        "queue_seconds": round(answer.queue_seconds, 6),
        "seconds": round(answer.seconds, 6),
    }


def _told(error: TrtforgeError) -> Response:
    status, retryable, retry_after = 500, error.retryable, None
    if isinstance(error, UnavailableError):
        status, retry_after = 503, error.retry_after
    elif isinstance(error, DeadlineError):
        status = 504
    elif isinstance(error, DeviceLostError):  # another process takes over
        status, retryable, retry_after = 503, True, 5.0
    elif isinstance(error, ClipError | InputError | ProfileError | ConfigError):
        status = 400
    elif error.retryable:
        status, retry_after = 503, 1.0
    return error_response(
        status, error.code, error.message, hint=error.hint, retryable=retryable, retry_after=retry_after
    )


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    milliseconds = whole_number(text)
    if milliseconds is None or not 0 < milliseconds <= 86_400_000:
        raise InputError(f"X-Trtforge-Deadline-Ms must be 1 to 86400000 milliseconds, got {text[:40]!r}")
    return milliseconds / 1000


def _yes_or_no(text: str | None) -> bool | None:
    if text is None:
        return None
    if text not in ("yes", "no"):
        raise InputError(f"X-Trtforge-Accept-Lighter must be yes or no, got {text!r}")
    return text == "yes"


def _names_work(path: str) -> bool:
    parts = path.strip("/").split("/")
    return parts[0] == "v1" and len(parts) in (2, 3) and parts[-1] in ("transcribe", "run")


def _not_allowed(method: str, path: str, allowed: str) -> Response:
    told = error_response(405, "method_not_allowed", f"{path} takes {allowed}, not {method}")
    return replace(told, headers={"Allow": allowed})


def _no_such(path: str) -> Response:
    return error_response(
        404,
        "no_such_path",
        f"there is no {json.dumps(path)}",
        hint="POST /v1/transcribe or /v1/run; GET /live, /ready, /metrics or /status",
    )
