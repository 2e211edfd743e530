"""Watch a worker: set its gauges and move its tier, once a second."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from trtforge.errors import ExecutionError
from trtforge.serving.admission import Priority
from trtforge.serving.demand import Backlog
from trtforge.serving.metrics import OUTCOMES, MetricSink
from trtforge.serving.models import NonfiniteError
from trtforge.serving.policy import DegradeRule, DegradeState, Sample, Tier, step

if TYPE_CHECKING:
    from trtforge.serving.worker import Worker

# TensorRT's ErrorCode, as its messages number them.
_CODES = (
    "success",
    "unspecified_error",
    "internal_error",
    "invalid_argument",
    "invalid_config",
    "failed_allocation",
    "failed_initialization",
    "failed_execution",
    "failed_computation",
    "invalid_state",
    "unsupported_state",
)
_CODE = re.compile(r"Error Code (\d+)")


class Monitor:
    """Samples a worker each tick, and steps its policy.

    Parameters
    ----------
    worker : whom to watch.
    rule : when the tier changes.
    sink : where measurements go.
    memory_share : asks how much of the GPU's memory is in use.

    Attributes
    ----------
    state : what the policy said last.
    has_failed : whether an error ended it, as one of ``memory_share``: the tier would change no more.
    """

    def __init__(
        self,
        worker: Worker,
        rule: DegradeRule,
        sink: MetricSink,
        memory_share: Callable[[], float | None] | None,
    ) -> None:
        self._worker, self._rule, self._sink = worker, rule, sink
        self._memory_share = memory_share or (lambda: None)
        self.state = DegradeState()
        self.has_failed = False
        self._backlogs = {tier: Backlog() for tier in (Tier.FULL, Tier.LIGHTER)}
        self._ticked = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="trtforge-monitor", daemon=True)

    @property
    def full_load(self) -> float:
        """What the full model would have waiting if it served everything, in deadlines: what to scale by."""
        return self._load(Tier.FULL)

    def start(self) -> None:
        """Begin; at once there is a value of every gauge."""
        name = self._worker.name
        for tier, outcome in itertools.product(Tier, OUTCOMES):
            self._sink.declare("requests_total", name, tier.label, outcome)
        for tier, reason in itertools.product(Tier, ("load", "memory", "calm")):
            self._sink.declare("degrade_transitions_total", name, tier.label, reason)
        self._ticked = time.monotonic()
        self.report()
        self._thread.start()

    def stop(self) -> None:
        """End, and report that the worker is not ready."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self.report_ready()

    def note_error(self, error: BaseException) -> None:
        """Count what TensorRT or CUDA failed with."""
        if isinstance(error, ExecutionError) and not isinstance(error, NonfiniteError):
            match = _CODE.search(error.message)
            number = int(match[1]) if match else 1
            code = _CODES[number] if number < len(_CODES) else "unspecified_error"
            self._sink.count("trt_errors_total", code)

    def report_ready(self) -> None:
        """Set whether the worker is ready."""
        self._sink.set("ready", self._worker.name, to=float(self._worker.ready))

    def report(self) -> None:
        """Set the gauges."""
        worker, now = self._worker, time.monotonic()
        for priority in Priority:
            waiting = worker.waiting(priority)
            oldest = min((ticket.arrived for ticket in waiting), default=now)
            self._sink.set("queue_depth", worker.name, priority.label, to=len(waiting))
            self._sink.set("queue_oldest_age_seconds", worker.name, priority.label, to=now - oldest)
        self._sink.set("degrade_tier", worker.name, to=float(self.state.tier))
        for model in dict.fromkeys(worker.models.values()):
            model.report_memory()
        self.report_ready()

    def _watch(self) -> None:
        try:
            while not self._stopping.wait(self._rule.tick_seconds):
                self._worker.tick()
                self._tick(time.monotonic())
                self.report()
        except BaseException:
            self.has_failed = True
            raise

    def _tick(self, now: float) -> None:
        worker, elapsed, self._ticked = self._worker, now - self._ticked, now
        arrived, refused = worker.take_arrivals()
        for tier, backlog in self._backlogs.items():
            seconds = worker.models[tier].service.mean
            backlog.advance(arrived, elapsed, service_seconds=seconds, workers=1, deadline=worker.deadline)
        before = self.state
        present = min(before.tier, Tier.LIGHTER)
        waiting = sum(len(worker.waiting(each)) for each in (Priority.INTERACTIVE, Priority.STANDARD))
        if not waiting and not refused:  # the model that serves keeps up, whatever was estimated
            self._backlogs[present].depth = 0.0
        sample = Sample(
            depth=max(waiting, self._backlogs[present].depth),
            full_depth=max(waiting, self._backlogs[Tier.FULL].depth),
            service_seconds=worker.models[present].service.mean,
            full_service_seconds=worker.models[Tier.FULL].service.mean,
            workers=1,
            deadline=worker.deadline,
            memory_share=self._memory_share(),
            out_of_memory=worker.take_out_of_memory(),
        )
        self.state = after = step(before, sample, now, self._rule)
        if after.tier is not before.tier:
            self._sink.count("degrade_transitions_total", worker.name, after.tier.label, after.reason)
            for model in dict.fromkeys(worker.models.values()):
                model.forget_pause()
        if after.saves_memory is not before.saves_memory:
            for model in dict.fromkeys(worker.models.values()):
                model.save_memory(after.saves_memory)

    def _load(self, tier: Tier) -> float:
        worker = self._worker
        return self._backlogs[tier].depth * worker.models[tier].service.mean / worker.deadline
