"""Take requests, as many as can be finished in time, and run them in batches on the model of the tier."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from trtforge._closing import Closing
from trtforge.errors import (
    ConfigError,
    DeviceLostError,
    OutOfMemoryError,
    RefusedError,
    UnavailableError,
)
from trtforge.serving.admission import Limits, Pace, Priority, Ticket, refusal
from trtforge.serving.demand import MovingMean
from trtforge.serving.metrics import MetricSink, NullSink
from trtforge.serving.models import ServedModel
from trtforge.serving.monitor import Monitor
from trtforge.serving.outcomes import Outcomes, too_late
from trtforge.serving.policy import DegradeRule, DegradeState, Tier
from trtforge.serving.requests import Answer, Entry, WaitingRequests
from trtforge.serving.service_time import Expected

# Requests beyond those that run, so that the next batch is made ready meanwhile.
_MOST_HANDLERS = 32
_STALLED_SECONDS = 60.0


class Worker(Closing):
    """A pipeline that serves requests with a full model, and with a lighter one under load.

    A request is taken only if it is expected to be finished by its deadline; what was taken is answered, or
    failed with a reason, and never forgotten. `submit` may be called by any number of threads.

    Parameters
    ----------
    name : label ``pipeline`` of its metrics.
    full, lighter : the models; both stay loaded. Without a lighter one there are two tiers.
    deadline : of requests that bring none of their own, in seconds; and the measure of load.
    limits : bounds of what may wait.
    rule : when the tier changes; by default `DegradeRule` for the models given.
    sink : where measurements go.
    on_lost : called once the GPU is lost, from a thread of the worker; the process must end then.
    memory_share : asks how much of the GPU's memory is in use, 0 to 1, or None where that is not known.

    Raises
    ------
    ConfigError : ``deadline`` is not positive.
    """

    def __init__(
        self,
        name: str,
        full: ServedModel,
        lighter: ServedModel | None = None,
        *,
        deadline: float = 2.0,
        limits: Limits | None = None,
        rule: DegradeRule | None = None,
        sink: MetricSink | None = None,
        on_lost: Callable[[], None] | None = None,
        memory_share: Callable[[], float | None] | None = None,
    ) -> None:
        if not deadline > 0:
            raise ConfigError(f"deadline must be positive, got {deadline}", settings=("deadline",))
        self.name, self.deadline, self.limits = name, deadline, limits or Limits()
        self.models = {Tier.FULL: full, Tier.LIGHTER: lighter or full}
        self._sink = NullSink() if sink is None else sink
        self._outcomes = Outcomes(name, self._sink, lambda: self.state.tier)
        self._on_lost = on_lost
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._waiting = WaitingRequests()
        self._running: dict[int, tuple[Ticket, float]] = {}
        self._life = "starting"
        self._ran_out_of_memory = False
        self._num_arrived = self._num_refused = 0
        self._handling = MovingMean(0.0)
        self._num_handlers = min(_MOST_HANDLERS, 2 * max(each.max_rows for each in self._loaded))
        rule = rule or DegradeRule(has_lighter=lighter is not None)
        self._monitor = Monitor(self, rule, self._sink, memory_share)
        self._threads = [
            threading.Thread(target=self._handle, name=f"trtforge-{name}-{index}", daemon=True)
            for index in range(self._num_handlers)
        ]

    def __enter__(self) -> Worker:
        self.start()
        return self

    @property
    def _loaded(self) -> tuple[ServedModel, ...]:
        return tuple(dict.fromkeys(self.models.values()))

    @property
    def life(self) -> str:
        """``starting``, ``ready``, ``draining``, ``lost`` or ``closed``."""
        return self._life

    @property
    def ready(self) -> bool:
        """Whether requests are taken."""
        return self._life == "ready"

    @property
    def alive(self) -> bool:
        """Whether work goes on: the GPU was not lost, the worker is watched, no request takes a minute."""
        is_stalled = time.monotonic() - self._running_since() >= _STALLED_SECONDS
        return self._life != "lost" and not is_stalled and not self._monitor.has_failed

    @property
    def state(self) -> DegradeState:
        """The tier, and what the policy remembers."""
        return self._monitor.state

    @property
    def num_running(self) -> int:
        """Requests that are being worked on."""
        return len(self._running)

    @property
    def full_load(self) -> float:
        """What would wait if the full model served everything, in deadlines: what to scale by."""
        return self._monitor.full_load

    @property
    def has_backlog(self) -> bool:
        """Whether there is more to do than one batch holds."""
        return len(self._waiting) > 0 or len(self._running) > self._num_handlers // 2

    def start(self) -> None:
        """Warm all models up, then take requests."""
        longest = max(model.warm_up() for model in self._loaded)
        self._handling = MovingMean(2 * longest)
        for model in self._loaded:
            model.has_backlog = lambda: self.has_backlog
            model.turns_away = lambda: self._num_refused > 0
        for thread in self._threads:
            thread.start()
        self._life = "ready"
        self._monitor.start()

    def submit(
        self,
        content: Any,
        *,
        priority: Priority = Priority.STANDARD,
        deadline: float | None = None,
        accepts_lighter: bool | None = None,
        num_bytes: int = 0,
    ) -> Future[Answer]:
        """Take a request, or say at once why not.

        Parameters
        ----------
        content : what the models' task takes, such as the bytes of an audio file.
        priority : who goes first.
        deadline : seconds from now; by default the worker's, and none for ``Priority.BATCH``.
        accepts_lighter : whether an answer of the lighter model will do; by default not for
            ``Priority.BATCH``, which waits for the full model.
        num_bytes : memory that the content holds.

        Returns
        -------
        A future of the answer. It fails with what went wrong: ClipError, InputError, ProfileError for a bad
        request, DeadlineError where it was not finished in time, and the errors of the runner.

        Raises
        ------
        ConfigError : ``deadline`` is not positive.
        RefusedError : it is not expected to be finished in time, or too many requests wait.
        UnavailableError : the worker does not take requests now.
        """
        is_batch = priority is Priority.BATCH
        if deadline is None and not is_batch:
            deadline = self.deadline
        if deadline is not None and not deadline > 0:
            raise ConfigError(f"deadline must be positive, got {deadline}", settings=("deadline",))
        now = time.monotonic()
        ticket = Ticket(
            next(self._numbers),
            priority,
            now,
            None if deadline is None else now + deadline,
            not is_batch if accepts_lighter is None else accepts_lighter,
            num_bytes,
        )
        entry = Entry(ticket, content, Future())
        with self._changed:
            expired = self._waiting.take_expired(now)
            error: UnavailableError | None = None
            if self._life != "ready":
                error = UnavailableError(f"pipeline {self.name!r} takes no requests: it is {self._life}")
            else:
                if not is_batch:
                    self._num_arrived += 1
                waiting = [each.ticket for each in self._waiting]
                why = refusal(ticket, waiting, self.pace(), self.limits, now)
                if why is None:
                    self._waiting.put(entry)
                    self._changed.notify()
                else:
                    self._num_refused += not is_batch
                    error = RefusedError(
                        why.reason, hint="try again later, or elsewhere", retry_after=why.retry_after
                    )
        self._outcomes.expire(expired)
        if error is not None:
            self._outcomes.refuse()
            raise error
        return entry.future

    def pace(self) -> Pace:
        """How fast requests are served now."""
        tier, num_running = self.state.tier, len(self._running)
        model, full = self.models[min(tier, Tier.LIGHTER)], self.models[Tier.FULL]
        each, past = model.service, self._handling.value
        # While more come than before, those that run say more than the past does; and one that is under way
        # for longer than ever shows that all of them stand still.
        oldest = time.monotonic() - self._running_since()
        return Pace(
            tier,
            each,
            full.service,
            Expected(
                max(past, each.mean * (1 + num_running)), max(past, each.high * (1 + num_running), oldest)
            ),
            num_running < self._num_handlers // 2,
            model is not full,
        )

    def waiting(self, priority: Priority) -> tuple[Ticket, ...]:
        """Return what waits of a priority."""
        with self._changed:
            return tuple(entry.ticket for entry in self._waiting.of(priority))

    def take_out_of_memory(self) -> bool:
        """Say whether a request ran out of memory since this was asked last."""
        with self._changed:
            ran_out, self._ran_out_of_memory = self._ran_out_of_memory, False
        return ran_out

    def take_arrivals(self) -> tuple[int, int]:
        """Return how many requests with a deadline came, and were turned away, since this was asked last."""
        with self._changed:
            counts = self._num_arrived, self._num_refused
            self._num_arrived = self._num_refused = 0
        return counts

    def tick(self) -> None:
        """Fail what has expired, and wake what may go now."""
        with self._changed:
            expired = self._waiting.take_expired(time.monotonic())
            self._changed.notify_all()
        self._outcomes.expire(expired)

    def drain(self, timeout: float | None = None) -> bool:
        """Take no more requests and wait until all that were taken are answered.

        Parameters
        ----------
        timeout : longest time to wait, in seconds; what still waits then is failed with UnavailableError.

        Returns
        -------
        Whether everything was answered in time.
        """
        end = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            if self._life == "ready":
                self._life = "draining"
            self._changed.notify_all()
            while len(self._waiting) or self._running:
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            rest = self._waiting.take_all()
        closed = f"pipeline {self.name!r} was closed before the request's turn"
        self._outcomes.drop(rest, UnavailableError(closed))
        return not rest and not self._running

    def close(self, timeout: float | None = None) -> None:
        """Drain, then release the models; closing twice does nothing."""
        if self._life == "closed":
            return
        if self._life != "lost":
            self.drain(timeout)
        with self._changed:
            self._life = "closed"
            self._changed.notify_all()
        self._monitor.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        for model in self._loaded:
            model.close()

    def _running_since(self) -> float:
        """When work on the oldest of those that run began; now where none does."""
        return min((since for _, since in tuple(self._running.values())), default=time.monotonic())

    def _handle(self) -> None:
        while (entry := self._next()) is not None:
            try:
                self._answer(entry)
            except BaseException as error:  # a sink's, say: nobody may wait for ever because of it
                if not entry.future.done():
                    entry.future.set_exception(error)
            finally:
                with self._changed:
                    del self._running[entry.ticket.number]
                    self._changed.notify_all()

    def _next(self) -> Entry | None:
        """Wait for a request that may be worked on; None once the worker is closed or lost."""
        with self._changed:
            while self._life not in ("closed", "lost"):
                entry = self._waiting.pop(self._may_go)
                if entry is not None:
                    self._running[entry.ticket.number] = entry.ticket, time.monotonic()
                    return entry
                self._changed.wait()
        return None

    def _may_go(self, ticket: Ticket) -> bool:
        if ticket.priority is not Priority.BATCH or self._life == "draining":
            return True
        if self.state.tier is not Tier.FULL and not ticket.accepts_lighter:
            return False
        # Half of the room stays free for who is in a hurry.
        others = sum(each.priority is Priority.BATCH for each, _ in self._running.values())
        return others < max(1, self._num_handlers // 2)

    def _answer(self, entry: Entry) -> None:
        ticket, begun = entry.ticket, time.monotonic()
        if not entry.future.set_running_or_notify_cancel():
            return
        if ticket.due is not None and ticket.due <= begun:
            self._outcomes.expire([entry])
            return
        wait = begun - ticket.arrived
        self._sink.observe("queue_wait_seconds", self.name, value=wait)
        tier = min(self.state.tier, Tier.LIGHTER) if ticket.accepts_lighter else Tier.FULL
        model = self.models[tier]
        label = "full" if model is self.models[Tier.FULL] else "lighter"
        error: BaseException | None = None
        try:
            value = model.answer(entry.content)
        except BaseException as caught:
            error = caught
        done = time.monotonic()
        self._handling.add(done - begun)
        if error is None and ticket.due is not None and done > ticket.due:
            error = too_late(done - ticket.due)
        if error is None:
            self._outcomes.answer(entry, Answer(value, label, model.name, wait, done - ticket.arrived))
            return
        self._note(error)
        self._outcomes.fail(entry, error, label)
        if isinstance(error, DeviceLostError):
            self._lose(error)

    def _note(self, error: BaseException) -> None:
        if isinstance(error, OutOfMemoryError):
            with self._changed:
                self._ran_out_of_memory = True
        self._monitor.note_error(error)

    def _lose(self, error: DeviceLostError) -> None:
        with self._changed:
            was_lost, self._life = self._life == "lost", "lost"
            rest = self._waiting.take_all()
            self._changed.notify_all()
        self._monitor.report_ready()
        lost = UnavailableError("the GPU was lost before the request's turn", hint="send it again")
        self._outcomes.drop(rest, lost)
        if not was_lost and self._on_lost is not None:
            self._on_lost()
