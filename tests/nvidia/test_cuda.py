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


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU")
def test_without_a_driver_cuda_says_so():
    pytest.importorskip("cuda.bindings.runtime")
    with pytest.raises(
        NoGpuError, match=r"CUDA failed to make a stream: cudaError(InsufficientDriver|NoDevice)"
    ):
        cuda.Stream()
    with pytest.raises(NoGpuError, match="CUDA failed to reserve 8 bytes of GPU memory"):
        cuda.DeviceBuffer().reserve(8)
