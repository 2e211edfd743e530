"""The requests and builds of an engine store as metrics."""

from __future__ import annotations

from trtforge.engine import EngineStore
from trtforge.serving.metrics import MetricSink


def watch_store(store: EngineStore, sink: MetricSink) -> None:
    """Count what is asked of a store from now on, and time what is built for it.

    Parameters
    ----------
    store : as it is given to `trtforge.build` or `trtforge.compile`.
    sink : where ``engine_cache_requests_total`` and ``build_duration_seconds`` go.
    """

    def note_build(seconds: float, succeeded: bool) -> None:
        sink.observe("build_duration_seconds", "ok" if succeeded else "failed", value=seconds)

    store.on_request = lambda result: sink.count("engine_cache_requests_total", result)
    store.on_build = note_build
