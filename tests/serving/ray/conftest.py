"""One small Ray for all tests of the folder that ask for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@pytest.fixture(scope="session")
def cluster() -> Iterator[object]:
    """Start Ray with two cores, and no GPU."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # A busy machine starts the proxy of HTTP more slowly than Ray waits for by default.
    os.environ["RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S"] = "60"
    os.environ["RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S"] = "60"
    ray.init(
        num_cpus=2, num_gpus=0, include_dashboard=False, object_store_memory=200_000_000, log_to_driver=False
    )
    yield ray
    ray.shutdown()


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an application on a free port of this machine, and yield its address."""
    from ray import serve

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(app)
    yield f"http://127.0.0.1:{port}/"
    serve.shutdown()
