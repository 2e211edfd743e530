import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest

from tests.serving.serving_models import doubler
from trtforge.errors import (
    ConfigError,
    DeadlineError,
    DeviceLostError,
    InputError,
    OutOfMemoryError,
    RefusedError,
    UnavailableError,
)
from trtforge.serving import DegradeRule, Limits, Priority, Tier, Worker
from trtforge.serving.admission import Ticket
from trtforge.serving.metrics import NullSink, PrometheusSink
from trtforge.serving.requests import Entry, WaitingRequests

ROW = {"x": np.ones((2, 5), np.float32)}


def sample(sink, name, **labels):
    return sink.registry.get_sample_value(f"trtforge_{name}", labels)


class Gate:
    """Holds batches back until it is opened; the first two are those that warm the model up."""

    def __init__(self):
        self.open, self.entered, self.armed = threading.Event(), threading.Event(), False
        self.error = None

    def __call__(self, rows):
        if self.armed:
            self.entered.set()
            assert self.open.wait(10)
            if self.error is not None:
                raise self.error


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.mark.parametrize("deadline", [0.0, -1.0, float("nan")])
def test_a_deadline_that_is_none_is_refused(deadline):
    with Worker("p", doubler()) as worker, pytest.raises(ConfigError, match="deadline must be positive, got"):
        worker.submit(ROW, deadline=deadline)


@pytest.mark.parametrize("metric", ["queue_wait_seconds", "request_duration_seconds"])
def test_where_a_measurement_cannot_be_reported_nobody_waits_for_ever(metric):
    class Broken(NullSink):
        def observe(self, name, *values, value):
            if name == metric:
                raise RuntimeError("the collector is full")

    with Worker("p", doubler(), sink=Broken()) as worker:
        for _ in range(40):  # more than there are threads
            with pytest.raises(RuntimeError, match="the collector is full"):
                worker.submit(ROW).result(5)
        assert worker.drain(5)


def test_an_answer_tells_the_model_and_the_tier_that_made_it():
    sink = PrometheusSink()
    with Worker("p", doubler(sink=sink), sink=sink) as worker:
        assert worker.ready
        answer = worker.submit(ROW).result(5)
    np.testing.assert_array_equal(answer.value["y"][:, :5], 2 * ROW["x"])
    assert (answer.tier, answer.model) == ("full", "double")
    assert 0 <= answer.queue_seconds <= answer.seconds < 2
    assert sample(sink, "requests_total", pipeline="p", tier="full", outcome="ok") == 1
    assert sample(sink, "batch_size_count", engine="double") == 1
    assert sample(sink, "ready", pipeline="p") == 0  # closed


def test_a_bad_request_is_the_senders_fault_and_others_succeed():
    sink = PrometheusSink()
    with Worker("p", doubler(), sink=sink) as worker:
        bad, good = worker.submit({"z": ROW["x"]}), worker.submit(ROW)
        with pytest.raises(InputError, match=r"a request is the array 'x' of one row, got \['z'\]"):
            bad.result(5)
        assert good.result(5).tier == "full"
    assert sample(sink, "requests_total", pipeline="p", tier="full", outcome="invalid") == 1


def test_interactive_requests_go_before_those_that_came_first():
    waiting = WaitingRequests()
    priorities = [Priority.BATCH, Priority.STANDARD, Priority.INTERACTIVE, Priority.STANDARD]
    for number, priority in enumerate(priorities):
        waiting.put(Entry(Ticket(number, priority, 0.0, None, True), ROW, Future()))
    gone = [waiting.pop(lambda ticket: True).ticket.number for _ in priorities]
    assert gone == [2, 1, 3, 0]
    assert waiting.pop(lambda ticket: True) is None


def test_batch_work_that_must_wait_is_passed_by():
    waiting = WaitingRequests()
    for number, accepts_lighter in enumerate((False, True)):
        ticket = Ticket(number, Priority.BATCH, 0.0, None, accepts_lighter)
        waiting.put(Entry(ticket, ROW, Future()))
    assert waiting.pop(lambda ticket: ticket.accepts_lighter).ticket.number == 1
    assert [entry.ticket.number for entry in waiting.take_all()] == [0]


def fill(worker, gate):
    """Submit as many requests as run at once, and wait until they do; the gate holds them."""
    gate.armed = True
    running = [worker.submit(ROW) for _ in range(2)]
    assert gate.entered.wait(5)
    while worker.num_running < len(running):
        time.sleep(0.01)
    return running


def test_a_request_that_cannot_be_in_time_is_turned_away_with_a_time_to_try_again(gate):
    sink = PrometheusSink()
    worker = Worker("p", doubler(before=gate, max_rows=1), deadline=60, limits=Limits(waiting=3), sink=sink)
    with worker:
        taken = fill(worker, gate)
        taken += [worker.submit(ROW) for _ in range(3)]
        with pytest.raises(RefusedError, match="3 requests wait, as many as may") as caught:
            worker.submit(ROW)
        assert caught.value.retryable
        assert caught.value.retry_after == 1.0
        gate.open.set()
        assert [future.result(5).tier for future in taken] == ["full"] * 5
    assert sample(sink, "requests_total", pipeline="p", tier="full", outcome="shed") == 1
    assert sample(sink, "requests_total", pipeline="p", tier="full", outcome="ok") == 5


def test_what_waits_beyond_its_deadline_is_told_so(gate):
    with Worker("p", doubler(before=gate, max_rows=1), deadline=60) as worker:
        running = fill(worker, gate)
        late = worker.submit(ROW, deadline=0.3)
        with pytest.raises(DeadlineError, match="deadline passed") as caught:
            late.result(5)
        assert caught.value.retryable
        gate.open.set()
        for future in running:
            future.result(5)


def test_a_lost_gpu_fails_what_runs_and_refuses_what_waits_at_once(gate):
    sink, lost = PrometheusSink(), threading.Event()
    worker = Worker("p", doubler(before=gate, max_rows=1), deadline=60, sink=sink, on_lost=lost.set)
    with worker:
        gate.error = DeviceLostError("CUDA failed: cudaErrorIllegalAddress")
        running = fill(worker, gate)
        waiting = worker.submit(ROW)
        gate.open.set()
        assert lost.wait(1)
        assert (worker.ready, worker.alive) == (False, False)
        assert sample(sink, "ready", pipeline="p") == 0
        for future in running:
            with pytest.raises(DeviceLostError):
                future.result(5)
        with pytest.raises(UnavailableError, match="the GPU was lost before the request's turn"):
            waiting.result(5)
        with pytest.raises(UnavailableError, match="it is lost"):
            worker.submit(ROW)
    assert sample(sink, "requests_total", pipeline="p", tier="full", outcome="device_lost") == 2
    assert sample(sink, "trt_errors_total", code="unspecified_error") == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_nobody_watches_any_more_is_not_alive():
    def fail():
        raise RuntimeError("NVML went away")

    rule = DegradeRule(tick_seconds=0.05, has_lighter=False)
    with Worker("p", doubler(), rule=rule, memory_share=fail) as worker:
        end = time.monotonic() + 5
        while worker.alive:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert worker.submit(ROW).result(5).tier == "full"  # it serves on until it is started again


def test_draining_answers_what_was_taken_and_takes_no_more(gate):
    with Worker("p", doubler(before=gate, max_rows=1), deadline=60) as worker:
        gate.armed = True
        taken = [worker.submit(ROW) for _ in range(4)]
        assert gate.entered.wait(5)
        done = []
        draining = threading.Thread(target=lambda: done.append(worker.drain(10)))
        draining.start()
        while worker.life != "draining":
            time.sleep(0.01)
        with pytest.raises(UnavailableError, match="it is draining"):
            worker.submit(ROW)
        gate.open.set()
        draining.join()
        assert done == [True]
        assert [future.result(0).tier for future in taken] == ["full"] * 4


def test_a_drain_that_takes_too_long_refuses_the_rest(gate):
    with Worker("p", doubler(before=gate, max_rows=1), deadline=60) as worker:
        taken = fill(worker, gate) + [worker.submit(ROW) for _ in range(2)]
        assert not worker.drain(0.1)
        gate.open.set()
        ended = [future.exception(5) for future in taken]
    assert [type(error) for error in ended].count(UnavailableError) == 2
    assert ended.count(None) == 2


def test_memory_that_runs_out_is_retryable_and_halves_batches(gate):
    gate.open.set()
    full = doubler(before=gate)
    rule = DegradeRule(has_lighter=False, tick_seconds=0.05)
    with Worker("p", full, rule=rule) as worker:
        gate.error, gate.armed = OutOfMemoryError("no GPU memory left. Error Code 5: Failed Allocation"), True
        with pytest.raises(OutOfMemoryError):
            worker.submit(ROW).result(5)
        gate.armed = False
        end = time.monotonic() + 5
        while not worker.state.saves_memory and time.monotonic() < end:
            time.sleep(0.01)
        assert worker.state.saves_memory
        assert worker.state.tier is Tier.FULL
        time.sleep(0.05)
        assert full._batcher.rule.buckets[0].max_rows == 2
        assert worker.submit(ROW).result(5).tier == "full"


def test_under_load_the_lighter_model_serves_and_batch_work_waits(gate):
    sink = PrometheusSink()
    slow = doubler("slow", before=lambda rows: time.sleep(0.05), max_rows=1)
    fast = doubler("fast", max_rows=1, scale=3.0)
    rule = DegradeRule(tick_seconds=0.05, dwell_seconds=0.0, hold_seconds=0.3)
    worker = Worker("p", slow, fast, deadline=0.5, rule=rule, sink=sink)
    with worker:
        waits = opted_in = None
        end, seen = time.monotonic() + 10, []
        while worker.state.tier is Tier.FULL and time.monotonic() < end:
            try:
                seen.append(worker.submit(ROW))
            except RefusedError:
                time.sleep(0.002)
        assert worker.state.tier is not Tier.FULL
        waits = worker.submit(ROW, priority=Priority.BATCH)
        opted_in = worker.submit(ROW, priority=Priority.BATCH, accepts_lighter=True)
        assert opted_in.result(5).model == "fast"
        assert not waits.done()
        with pytest.raises(RefusedError, match="only the lighter model serves now"):
            worker.submit(ROW, accepts_lighter=False)
        assert "full" in {future.result(5).tier for future in seen if future.exception(5) is None}
        answer = waits.result(10)  # once the load has gone
        assert (answer.tier, answer.model) == ("full", "slow")
        assert worker.state.tier is Tier.FULL
    labels = {"pipeline": "p", "to": "full", "reason": "calm"}
    assert sample(sink, "degrade_transitions_total", **labels) == 1
