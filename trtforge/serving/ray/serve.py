"""A Ray Serve application that transcribes the audio sent to it, and scales by the demand."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge._optional import require
from trtforge.audio import decode_audio, features_for_model
from trtforge.errors import ClipError, ConfigError, DeviceLostError, TrtforgeError
from trtforge.serving.ray.demand import LOAD, Demand, DemandPolicy
from trtforge.serving.ray.recognising import Row, texts_of
from trtforge.serving.ray.running import RunnerSource
from trtforge.speech import CtcDecoder

PURPOSE = "serve transcripts with Ray"
# A replica whose GPU is lost answers nothing until Ray has asked it.
_HEALTH_CHECK_SECONDS = 1.0
# What a client did wrong; all else is the server's.
_CLIENT_ERRORS = frozenset({"clip", "input", "profile"})


@dataclass(frozen=True)
class ServeSettings:
    """How a network is served.

    Parameters
    ----------
    max_batch_size : requests that run together.
    batch_wait_seconds : longest wait for a fuller batch.
    max_queued_requests : requests that may wait for a replica; those beyond are refused with status 503.
    max_duration : longest audio of a request, in seconds.
    min_replicas, max_replicas : bounds of the autoscaler.
    target_utilization : share of the time that a replica is to be busy, above 0, up to 1.
    upscale_delay_seconds, downscale_delay_seconds : how long a need must last.
    num_threads : threads of a network in ONNX Runtime.

    Raises
    ------
    ConfigError : a value is out of range.
    """

    max_batch_size: int = 8
    batch_wait_seconds: float = 0.01
    max_queued_requests: int = 64
    max_duration: float = 60.0
    min_replicas: int = 1
    max_replicas: int = 1
    target_utilization: float = 0.7
    upscale_delay_seconds: float = 30.0
    downscale_delay_seconds: float = 600.0
    num_threads: int = 1

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_queued_requests", "min_replicas", "num_threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, got {getattr(self, name)}", settings=(name,))
        if self.max_replicas < self.min_replicas:
            raise ConfigError(
                f"max_replicas {self.max_replicas} is below min_replicas {self.min_replicas}",
                settings=("max_replicas",),
            )
        if not 0 < self.target_utilization <= 1:
            raise ConfigError(
                f"target_utilization must be above 0 and up to 1, got {self.target_utilization}",
                settings=("target_utilization",),
            )


class Transcriber:
    """One replica: a network, and the requests that run on it together.

    Parameters
    ----------
    model : path of the network.
    source : what is run.
    settings : see `ServeSettings`.
    """

    def __init__(self, model: str, source: RunnerSource, settings: ServeSettings) -> None:
        self.settings = settings
        self.features, self.decoder = features_for_model(model), CtcDecoder.for_model(model)
        self.runner = source.open(num_threads=settings.num_threads)
        self.demand = Demand(time.monotonic)
        self._lost: DeviceLostError | None = None
        serve = require("ray.serve", PURPOSE)
        self._run = serve.batch(
            max_batch_size=settings.max_batch_size, batch_wait_timeout_s=settings.batch_wait_seconds
        )(self._run_together)

    async def transcribe(self, content: bytes) -> dict[str, Any]:
        """Transcribe the bytes of an audio file.

        Returns
        -------
        ``text`` and ``seconds`` of audio; or ``error_code``, ``error`` and ``retryable``.
        """
        try:
            audio = await asyncio.to_thread(self._decode, content)
            seconds = len(audio) / self.features.sampling_rate
            self.demand.arrive(seconds)
            text = await self._run(audio)
            if isinstance(text, TrtforgeError):
                raise text
        except TrtforgeError as error:
            # Another replica takes over where a GPU is lost.
            may_retry = error.retryable or isinstance(error, DeviceLostError)
            return {"error_code": error.code, "error": error.message, "retryable": may_retry}
        return {"text": text, "seconds": seconds}

    async def __call__(self, request: Any) -> Any:
        """Answer an HTTP request whose body is an audio file."""
        from starlette.responses import JSONResponse

        answer = await self.transcribe(await request.body())
        code = answer.get("error_code")
        status = 200 if code is None else 422 if code in _CLIENT_ERRORS else 503
        headers = {"Retry-After": "1"} if status == 503 and answer["retryable"] else None
        return JSONResponse(answer, status_code=status, headers=headers)

    def check_health(self) -> None:
        """Raise once the GPU is lost; Ray then ends this process and starts another."""
        if self._lost is not None:
            raise self._lost

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Return the load for `DemandPolicy`."""
        return {LOAD: self.demand.load()}

    def _decode(self, content: bytes) -> NDArray[np.float32]:
        audio = decode_audio(
            content,
            sampling_rate=self.features.sampling_rate,
            clip_id="request",
            max_duration=self.settings.max_duration,
        )
        if len(audio) < self.features.min_num_samples:
            raise ClipError(f"{len(audio)} samples are too few, {self.features.min_num_samples} are needed")
        return audio

    async def _run_together(self, audios: list[NDArray[np.float32]]) -> list[str | TrtforgeError]:
        return await asyncio.to_thread(self.run_together, audios)

    def run_together(self, audios: Sequence[NDArray[np.float32]]) -> list[str | TrtforgeError]:
        """Transcribe decoded audio in one batch.

        Parameters
        ----------
        audios : float32 [num_samples] each, at the features' sampling rate.

        Returns
        -------
        A text for each, or the error that it met; one bad clip costs the others nothing but another run.
        """
        rows = [
            Row(str(index), "", self.features(audio), self.features.num_frames(len(audio)))
            for index, audio in enumerate(audios)
        ]
        begin = time.monotonic()
        try:
            texts = texts_of(self.runner, rows, self.features, self.decoder)
        except DeviceLostError as error:
            self._lost = error
            return [error] * len(rows)
        except TrtforgeError as error:
            if len(rows) == 1:
                return [error]
            return [answer for audio in audios for answer in self.run_together([audio])]
        seconds = sum(len(audio) for audio in audios) / self.features.sampling_rate
        self.demand.served(seconds, time.monotonic() - begin)
        return list(texts)


def make_app(
    model: str | os.PathLike[str],
    *,
    engine: str | os.PathLike[str] | None = None,
    settings: ServeSettings | None = None,
) -> Any:
    """Return an application for ``ray.serve.run``.

    Parameters
    ----------
    model : the network; its metadata say how input is made and output read.
    engine : engine of that network, with one GPU for each replica; by default ONNX Runtime runs the network.
    settings : see `ServeSettings`.

    Raises
    ------
    ModelError, EngineIntegrityError : the network or engine cannot be read.
    MissingExtraError : Ray is not installed.
    """
    serve = require("ray.serve", PURPOSE)
    config = require("ray.serve.config", PURPOSE)
    asked = settings or ServeSettings()
    source = RunnerSource.of(engine if engine is not None else model)
    held = 2 * asked.max_batch_size
    deployment = serve.deployment(
        name="transcriber",
        max_ongoing_requests=held,
        health_check_period_s=_HEALTH_CHECK_SECONDS,
        max_queued_requests=asked.max_queued_requests,
        autoscaling_config=config.AutoscalingConfig(
            min_replicas=asked.min_replicas,
            max_replicas=asked.max_replicas,
            upscale_delay_s=asked.upscale_delay_seconds,
            downscale_delay_s=asked.downscale_delay_seconds,
            policy=config.AutoscalingPolicy(
                policy_function=DemandPolicy,
                policy_kwargs={
                    "target_utilization": asked.target_utilization,
                    "requests_a_replica": float(held),
                },
            ),
        ),
        ray_actor_options={"num_gpus": 1} if source.needs_gpu else {"num_cpus": asked.num_threads},
    )(Transcriber)
    return deployment.bind(str(Path(model).resolve()), source, asked)
