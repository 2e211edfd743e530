"""Serve the recogniser over HTTP: ``MODEL``, and ``ENGINE`` where there is a GPU, say which."""

from __future__ import annotations

import os
import signal
import threading

from trtforge._optional import require
from trtforge.serving.ray.serve import ServeSettings, make_app

HOST = "0.0.0.0"  # noqa: S104 - inside a container, compose.yaml says who may reach it


def main() -> None:
    """Start Ray Serve on this machine, and wait to be stopped."""
    ray, serve = require("ray", "serve"), require("ray.serve", "serve")
    settings = ServeSettings(max_replicas=int(os.environ.get("MAX_REPLICAS", "1")))
    # Ray's own metrics, those of Serve among them, are for Prometheus to fetch.
    ray.init(include_dashboard=False, _metrics_export_port=int(os.environ.get("METRICS_PORT", "8080")))
    serve.start(http_options={"host": HOST, "port": int(os.environ.get("PORT", "8000"))})
    serve.run(
        make_app(os.environ["MODEL"], engine=os.environ.get("ENGINE") or None, settings=settings),
        name="transcriber",
    )
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # after Ray, which has handlers of its own
        signal.signal(number, lambda number, frame: told.set())
    told.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
