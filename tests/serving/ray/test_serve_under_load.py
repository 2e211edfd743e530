"""The application with more to do than it can: refusals at once, and then a second replica."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("ray.serve")
pytest.importorskip("onnxruntime")

from tests.bundled import CALIBRATION_SET, MODEL
from tests.serving.ray.conftest import served
from trtforge.serving.ray.serve import ServeSettings, make_app

AUDIO = sorted((CALIBRATION_SET / "audio").iterdir())[0].read_bytes()
SETTINGS = ServeSettings(
    max_batch_size=1,  # two requests in a replica
    max_queued_requests=2,
    max_replicas=2,
    target_utilization=0.02,  # so that little load asks for a second replica
    upscale_delay_seconds=0.5,
)

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def address(cluster: Any) -> Iterator[str]:
    """Serve on a free port of this machine."""
    with served(make_app(MODEL, settings=SETTINGS)) as found:
        yield found


def post(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, data=AUDIO), timeout=60) as response:  # noqa: S310
            return response.status, json.load(response)["text"]
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def num_replicas() -> int:
    from ray import serve

    states = serve.status().applications["default"].deployments["transcriber"].replica_states
    return {str(getattr(state, "value", state)): count for state, count in states.items()}.get("RUNNING", 0)


def test_what_the_queue_has_no_room_for_is_refused_at_once_and_load_brings_a_second_replica(
    address: str,
) -> None:
    assert num_replicas() == 1
    assert post(address)[0] == 200  # from now on the proxy knows the replica, and its queue holds what waits
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: post(address), range(16)))
    statuses = Counter(status for status, _ in answers)
    assert set(statuses) == {200, 503}
    assert statuses[200] >= 4  # two at work and two in the queue at the least
    assert len({text for status, text in answers if status == 200}) == 1
    end = time.monotonic() + 60
    while num_replicas() < 2:
        assert time.monotonic() < end, "no second replica"
        assert post(address)[0] in (200, 503)
    assert post(address)[0] == 200
