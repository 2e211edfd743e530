import inspect
import re
from types import SimpleNamespace

import pytest

from trtforge.errors import DeviceLostError, ExecutionError, NoGpuError, OutOfMemoryError
from trtforge.nvidia import cuda
from trtforge.nvidia.devices import gpus


@pytest.mark.parametrize(
    ("name", "kind", "retryable"),
    [
        ("cudaErrorMemoryAllocation", OutOfMemoryError, True),
        ("cudaErrorIllegalAddress", DeviceLostError, False),
        ("cudaErrorNoDevice", NoGpuError, False),
        ("cudaErrorInvalidValue", ExecutionError, False),
    ],
)
def test_errors_become_their_kind(name, kind, retryable):
    with pytest.raises(kind, match=f"CUDA failed to copy 8 bytes: {name}") as caught:
        cuda.raise_cuda_error(name, "copy 8 bytes")
    assert type(caught.value) is kind
    assert caught.value.retryable is retryable


def test_every_name_is_one_of_cudas():
    runtime = pytest.importorskip("cuda.bindings.runtime")
    names = set(runtime.cudaError_t.__members__)
    assert names >= cuda.STICKY_ERRORS
    assert names >= cuda._NO_GPU_ERRORS


def test_every_function_is_one_of_cudas():
    runtime = pytest.importorskip("cuda.bindings.runtime")
    used = set(re.findall(r"(?:cudart|runtime_api\(\))\.(\w+)(?:\.(\w+))?", inspect.getsource(cuda)))
    assert len(used) > 25
    for name, member in used:
        assert hasattr(runtime, name), name
        assert not member or hasattr(getattr(runtime, name), member), f"{name}.{member}"
    assert set(runtime.cudaMemoryType.__members__) >= {
        "cudaMemoryTypeDevice",
        "cudaMemoryTypeManaged",
    }
    assert int(runtime.cudaStreamLegacy) == cuda.LEGACY_STREAM


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU")
def test_without_a_driver_cuda_says_so():
    pytest.importorskip("cuda.bindings.runtime")
    with pytest.raises(
        NoGpuError, match=r"CUDA failed to make a stream: cudaError(InsufficientDriver|NoDevice)"
    ):
        cuda.Stream()
    with pytest.raises(NoGpuError, match="CUDA failed to reserve 8 bytes of GPU memory"):
        cuda.DeviceBuffer().reserve(8)


@pytest.mark.parametrize(
    ("kind", "allocate", "free", "memory"),
    [
        (cuda.DeviceBuffer, "cudaMalloc", "cudaFree", "GPU memory"),
        (cuda.PinnedBuffer, "cudaMallocHost", "cudaFreeHost", "pinned memory"),
    ],
)
def test_a_buffer_grows_and_frees_once(kind, allocate, free, memory, monkeypatch):
    calls, outcome = [], {allocate: "cudaSuccess", free: "cudaSuccess"}

    def play(name, *values):
        def function(argument):
            calls.append((name, argument))
            return (SimpleNamespace(name=outcome[name]), *values)

        return function

    runtime = SimpleNamespace(**{allocate: play(allocate, 4096), free: play(free)})
    runtime.cudaGetLastError = lambda: calls.append("forgotten")
    monkeypatch.setattr(cuda, "runtime_api", lambda: runtime)
    with kind() as buffer:
        for num_bytes in (0, 8, 4):
            buffer.reserve(num_bytes)
        assert (buffer.address, buffer.capacity_bytes) == (4096, 8)
        buffer.close()
        outcome[allocate] = "cudaErrorMemoryAllocation"
        with pytest.raises(OutOfMemoryError, match=f"CUDA failed to reserve 16 bytes of {memory}: cudaError"):
            buffer.reserve(16)
        assert (buffer.address, buffer.capacity_bytes) == (0, 0)
    assert calls == [(allocate, 1), (free, 4096), (allocate, 8), (free, 4096), (allocate, 16), "forgotten"]
    outcome |= {allocate: "cudaSuccess", free: "cudaErrorInvalidValue"}
    buffer.reserve(1)
    with pytest.raises(ExecutionError, match=f"CUDA failed to free {memory}: cudaErrorInvalidValue"):
        buffer.close()
