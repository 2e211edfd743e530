"""Tell requests how they ended, and count each end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from trtforge.errors import (
    ClipError,
    DeadlineError,
    DeviceLostError,
    InputError,
    OutOfMemoryError,
    ProfileError,
    TrtforgeError,
    UnavailableError,
)
from trtforge.serving.metrics import MetricSink
from trtforge.serving.models import NonfiniteError
from trtforge.serving.policy import Tier
from trtforge.serving.requests import Answer, Entry

_REJECTIONS = {"clip": "unusable", "profile": "too_long"}


class Outcomes:
    """Sets the futures of a worker's requests, and its metrics of how they ended.

    Parameters
    ----------
    pipeline : label of the metrics.
    sink : where they go.
    tier : asks for the worker's tier, the label of what no model answered.
    """

    def __init__(self, pipeline: str, sink: MetricSink, tier: Callable[[], Tier]) -> None:
        self._pipeline, self._sink, self._tier = pipeline, sink, tier

    def refuse(self) -> None:
        """Count a request that was not taken."""
        self._count(self._tier().label, "shed")

    def answer(self, entry: Entry, answer: Answer) -> None:
        """Give a request its answer."""
        self._count(answer.tier, "ok")
        self._sink.observe("request_duration_seconds", self._pipeline, answer.tier, value=answer.seconds)
        entry.future.set_result(answer)

    def fail(self, entry: Entry, error: BaseException, tier: str) -> None:
        """Fail a request that a model of ``tier`` worked on."""
        self._count(tier, outcome_of(error))
        if (reason := _REJECTIONS.get(getattr(error, "code", ""))) is not None:
            self._sink.count("audio_rejected_total", reason)
        entry.future.set_exception(error)

    def drop(self, entries: Sequence[Entry], error: TrtforgeError) -> None:
        """Fail requests that nothing worked on; those that were cancelled stay so."""
        for entry in entries:
            if entry.future.running() or entry.future.set_running_or_notify_cancel():
                self._count(self._tier().label, outcome_of(error))
                entry.future.set_exception(error)

    def expire(self, entries: Sequence[Entry]) -> None:
        """Fail requests whose deadline passed before anything worked on them."""
        now = time.monotonic()
        for entry in entries:
            self.drop([entry], too_late(now - (entry.ticket.due or now)))

    def _count(self, tier: str, outcome: str) -> None:
        self._sink.count("requests_total", self._pipeline, tier, outcome)


def too_late(seconds: float) -> DeadlineError:
    """Return what a request fails with that was not finished ``seconds`` after its deadline."""
    return DeadlineError(
        f"the request's deadline passed {max(0.0, seconds):.3f} s before it was finished",
        hint="send it again with a later deadline, or elsewhere",
    )


def outcome_of(error: BaseException | None) -> str:
    """Return the label ``outcome`` of a request that ended with an error, or without."""
    kinds: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
        (UnavailableError, "shed"),
        (DeadlineError, "timeout"),
        (OutOfMemoryError, "oom"),
        (DeviceLostError, "device_lost"),
        (NonfiniteError, "nonfinite"),
        ((ClipError, InputError, ProfileError), "invalid"),
    )
    if error is None:
        return "ok"
    return next((name for kind, name in kinds if isinstance(error, kind)), "error")
