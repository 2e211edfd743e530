"""The application behind HTTP: transcripts, refusals, and a replica that says when its GPU is lost."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray.serve")
pytest.importorskip("onnxruntime")

from tests.bundled import CALIBRATION_SET, MODEL
from tests.serving.ray.conftest import served
from trtforge.audio import decode_audio
from trtforge.errors import ConfigError, DeviceLostError, ExecutionError
from trtforge.serving.ray.running import RunnerSource
from trtforge.serving.ray.serve import ServeSettings, Transcriber, make_app

AUDIO = sorted((CALIBRATION_SET / "audio").iterdir())[0].read_bytes()
SAID = "cheape headsets cut of everything"

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def address(cluster: Any) -> Iterator[str]:
    """Serve on a free port of this machine."""
    with served(make_app(MODEL, settings=ServeSettings(max_duration=20.0))) as found:
        yield found


def post(address: str, content: bytes) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, data=content), timeout=60) as response:  # noqa: S310
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_audio_over_http_becomes_text(address: str) -> None:
    status, answer = post(address, AUDIO)
    assert status == 200
    assert answer["text"].startswith(SAID)
    assert answer["seconds"] == pytest.approx(4.06, abs=0.01)


def test_bad_audio_is_the_clients_fault(address: str) -> None:
    status, answer = post(address, b"no audio")
    assert (status, answer["error_code"], answer["retryable"]) == (422, "clip", False)
    assert "not WAV, FLAC, Ogg, MP3 or AIFF" in answer["error"]


def test_requests_together_get_their_own_answers(address: str) -> None:
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda index: post(address, AUDIO if index % 3 else b"x"), range(12)))
    assert [status for status, _ in answers] == [200 if index % 3 else 422 for index in range(12)]
    assert len({answer["text"] for status, answer in answers if status == 200}) == 1


def test_a_replica_whose_gpu_is_lost_says_so() -> None:
    def lost(arrays: Any) -> Any:
        raise DeviceLostError("an illegal memory access was encountered")

    replica = Transcriber(str(MODEL), RunnerSource.of(MODEL), ServeSettings())
    replica.runner = lost  # type: ignore[assignment]
    replica.check_health()
    audio = decode_audio(AUDIO, sampling_rate=16_000)
    assert [type(answer) for answer in replica.run_together([audio, audio])] == [DeviceLostError] * 2
    with pytest.raises(DeviceLostError, match="illegal memory access"):
        replica.check_health()


class Sent:
    """A request whose body is what was sent."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def body(self) -> bytes:
        return self.content


@pytest.mark.parametrize(
    ("error", "retry_after"), [(DeviceLostError("lost"), "1"), (ExecutionError("not a sound"), None)]
)
def test_what_another_replica_may_do_is_told_to_be_sent_again(
    error: Exception, retry_after: str | None
) -> None:
    replica = Transcriber(str(MODEL), RunnerSource.of(MODEL), ServeSettings())

    async def fail(audio: Any) -> Any:
        return error

    replica._run = fail
    answer = asyncio.run(replica(Sent(AUDIO)))
    assert answer.status_code == 503
    assert answer.headers.get("retry-after") == retry_after
    assert json.loads(answer.body)["retryable"] is (retry_after is not None)


def test_one_bad_clip_costs_the_others_nothing() -> None:
    replica = Transcriber(str(MODEL), RunnerSource.of(MODEL), ServeSettings())
    network = replica.runner

    def refuse_silence(arrays: Any) -> Any:
        if (np.abs(arrays["mel"]).max(axis=(1, 2)) < 0.5).any():
            raise ExecutionError("not a sound")
        return network(arrays)

    replica.runner = refuse_silence  # type: ignore[assignment]
    audio = decode_audio(AUDIO, sampling_rate=16_000)
    first, silent, last = replica.run_together([audio, np.zeros_like(audio), audio])
    assert str(first).startswith(SAID)
    assert first == last
    assert str(silent) == "not a sound"
    assert replica.record_autoscaling_stats() == {"trtforge_load": 0.0}


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_replicas 1 is below min_replicas 2"):
        ServeSettings(min_replicas=2)
    with pytest.raises(ConfigError, match="target_utilization must be above 0"):
        ServeSettings(target_utilization=0)
