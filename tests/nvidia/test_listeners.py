"""What the library calls back: memory for outputs, and times of layers."""

from types import SimpleNamespace

import pytest

from tests.runtime.fake_gpu import FakeCuda
from trtforge.errors import ExecutionError, OutOfMemoryError
from trtforge.nvidia import cuda
from trtforge.nvidia.layer_times import LayerTimer
from trtforge.nvidia.output_allocator import GrowingOutput

PLAYED = SimpleNamespace(IOutputAllocator=type("A", (), {}), IProfiler=type("P", (), {}))

# A stand-in, and the real bindings where they are installed.
LIBRARIES = [
    pytest.param(lambda: PLAYED, id="played"),
    pytest.param(lambda: pytest.importorskip("tensorrt_rtx"), id="tensorrt_rtx"),
]


@pytest.fixture
def driver(monkeypatch):
    driver = FakeCuda()
    monkeypatch.setattr(cuda, "runtime_api", lambda: driver)
    return driver


@pytest.mark.parametrize("load", LIBRARIES)
def test_an_output_grows_and_never_shrinks(load, driver):
    output = GrowingOutput(load(), "y")
    listener = output.listener
    first = listener.reallocate_output("y", 0, 100, 256)
    assert first == listener.reallocate_output("y", first, 50, 256)
    second = listener.reallocate_output_async("y", first, 200, 256, 7)
    assert (output.buffer.address, output.buffer.capacity_bytes) == (second, 200)
    listener.notify_shape("y", (2, 5))
    assert output.shape(itemsize=4) == (2, 5)
    with pytest.raises(ExecutionError, match=r"of shape \(2, 5\), for which there are only 200 bytes"):
        output.shape(itemsize=40)
    output.check()
    output.begin()
    with pytest.raises(ExecutionError, match="did not tell the shape of its output 'y'"):
        output.shape(itemsize=4)
    driver.failures["cudaMalloc"] = "cudaErrorMemoryAllocation"
    assert listener.reallocate_output("y", second, 300, 256) == 0
    with pytest.raises(OutOfMemoryError, match="CUDA failed to reserve 300 bytes of GPU memory"):
        output.check()
    output.begin()
    output.check()
    output.close()
    assert driver.memory == {}


@pytest.mark.parametrize("load", LIBRARIES)
def test_times_of_layers_are_added_up(load):
    timer = LayerTimer(load())
    for ms in (0.5, 0.25):
        timer.listener.report_layer_time("conv", ms)
        timer.listener.report_layer_time("relu", 1.0)
    assert timer.total_ms == {"conv": 0.75, "relu": 2.0}
    timer.begin()
    assert timer.total_ms == {}
