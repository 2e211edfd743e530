from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.native_calibrator.timing import time_engines
from tests.runtime import fake_gpu
from trtforge.errors import ExecutionError


class Driver:
    """What the fake CUDA lacks: events that a clock of its own times, and graphs that work is recorded in."""

    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)  # noqa: N815

    def __init__(self, fake, monkeypatch):
        self.fake, self.ticks, self.graphs, self.launches = fake, 0, 0, 0
        for name in dir(self):
            if name.startswith("cuda"):
                monkeypatch.setattr(fake, name, getattr(self, name), raising=False)

    def cudaEventCreate(self):
        return self.fake._result("cudaEventCreate", SimpleNamespace(at=0))

    def cudaEventRecord(self, event, stream):
        self.ticks += 1
        event.at = self.ticks
        return self.fake._result("cudaEventRecord")

    def cudaEventSynchronize(self, event):
        return self.fake._result("cudaEventSynchronize")

    def cudaEventElapsedTime(self, start, end):
        return self.fake._result("cudaEventElapsedTime", float(end.at - start.at))

    def cudaEventDestroy(self, event):
        return self.fake._result("cudaEventDestroy")

    def cudaStreamBeginCapture(self, stream, mode):
        return self.fake._result("cudaStreamBeginCapture")

    def cudaStreamEndCapture(self, stream):
        return self.fake._result("cudaStreamEndCapture", "graph")

    def cudaGraphInstantiate(self, graph, flags):
        self.graphs += 1
        return self.fake._result("cudaGraphInstantiate", "launchable")

    def cudaGraphDestroy(self, graph):
        return self.fake._result("cudaGraphDestroy")

    def cudaGraphLaunch(self, graph, stream):
        self.launches += 1
        return self.fake._result("cudaGraphLaunch")

    def cudaGraphExecDestroy(self, graph):
        self.graphs -= 1
        return self.fake._result("cudaGraphExecDestroy")


@pytest.fixture
def machine(monkeypatch):
    library, fake = fake_gpu.install(monkeypatch)
    monkeypatch.setattr("benchmarks.native_calibrator.timing.gpu_clocks", lambda: "1980 MHz")
    return library, fake, Driver(fake, monkeypatch)


def feeds():
    return [
        {"x": np.full((1, 3), value, np.float32), "n": np.array([value], np.int32)} for value in range(1, 4)
    ]


def quick(**settings):
    engines = {"native": fake_gpu.ENGINE, "ours": fake_gpu.ENGINE}
    return time_engines(engines, feeds(), repetitions=4, sample_ms=0.0001, warm_up_s=0.0, **settings)


def test_engines_take_turns_and_give_everything_back(machine, monkeypatch):
    _, fake, driver = machine
    monkeypatch.setattr("benchmarks.native_calibrator.timing._Runner.check_output", lambda *_: None)
    times = quick()
    assert {name: len(samples) for name, samples in times.samples_ms.items()} == {"native": 4, "ours": 4}
    assert set(times.samples_ms["native"]) == {1.0 / times.launches}
    assert times.launched_by == "CUDA graph"
    assert times.clocks == ("1980 MHz", "1980 MHz")
    assert driver.launches >= 2 * (10 + 4)
    assert (driver.graphs, fake.memory, fake.streams) == (0, {}, 0)


def test_without_graphs_inferences_are_enqueued_and_outputs_checked(machine, capsys):
    _, fake, _ = machine
    fake.failures["cudaStreamBeginCapture"] = "cudaErrorStreamCaptureUnsupported"
    times = quick()
    assert times.launched_by == "enqueue"
    assert "CUDA failed to begin a CUDA graph: cudaErrorStreamCaptureUnsupported" in capsys.readouterr().out
    assert (fake.memory, fake.streams) == ({}, 0)


def test_outputs_that_nothing_wrote_are_found(machine):
    # The fake graphs do no work, and nor does the engine: NaN stays.
    library, fake, _ = machine
    fake.failures["cudaStreamBeginCapture"] = "cudaErrorStreamCaptureUnsupported"
    library.create_execution_context = lambda: _Idle(library)
    with pytest.raises(ExecutionError, match="left 3 of 3 values of 'y' unwritten"):
        quick()
    assert fake.memory == {}


class _Idle(fake_gpu.FakeContext):
    def execute_async_v3(self, stream):
        return True
