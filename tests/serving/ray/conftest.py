"""One small Ray for all tests of the folder that ask for it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def cluster() -> Iterator[object]:
    """Start Ray with two cores, and no GPU."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        num_cpus=2, num_gpus=0, include_dashboard=False, object_store_memory=200_000_000, log_to_driver=False
    )
    yield ray
    ray.shutdown()
