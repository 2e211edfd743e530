"""Streams, events, graphs and memory through ``cuda.bindings``, with CUDA's errors as trtforge's."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge._closing import Closing
from trtforge._optional import require
from trtforge.errors import DeviceLostError, ExecutionError, NoGpuError, OutOfMemoryError

# After these the CUDA context is corrupt, and every later call in the process fails.
STICKY_ERRORS = frozenset(
    {
        "cudaErrorAssert",
        "cudaErrorContained",
        "cudaErrorContextIsDestroyed",
        "cudaErrorECCUncorrectable",
        "cudaErrorHardwareStackError",
        "cudaErrorIllegalAddress",
        "cudaErrorIllegalInstruction",
        "cudaErrorInvalidAddressSpace",
        "cudaErrorInvalidPc",
        "cudaErrorLaunchFailure",
        "cudaErrorLaunchTimeout",
        "cudaErrorMisalignedAddress",
        "cudaErrorNvlinkUncorrectable",
    }
)
# The address that stands for the stream which waits for all others but the non-blocking ones.
LEGACY_STREAM = 1
_NO_GPU_ERRORS = frozenset({"cudaErrorInsufficientDriver", "cudaErrorInvalidDevice", "cudaErrorNoDevice"})


@cache
def runtime_api() -> Any:
    """Import and return ``cuda.bindings.runtime``; raise MissingExtraError where it is absent."""
    return require("cuda.bindings.runtime", "run engines on a GPU")


def raise_cuda_error(name: str, doing: str) -> None:
    """Raise the exception that fits a CUDA error.

    Parameters
    ----------
    name : such as ``cudaErrorMemoryAllocation``.
    doing : what was being done, as the end of "CUDA failed to ...".

    Raises
    ------
    DeviceLostError, OutOfMemoryError, NoGpuError, ExecutionError : by the kind of error.
    """
    message = f"CUDA failed to {doing}: {name}"
    if name in STICKY_ERRORS:
        raise DeviceLostError(message, hint="the CUDA context is corrupt: end this process and start another")
    if name == "cudaErrorMemoryAllocation":
        raise OutOfMemoryError(message, hint="close idle sessions, or run smaller batches")
    if name in _NO_GPU_ERRORS:
        raise NoGpuError(message, hint="trtforge doctor says what this machine can do")
    raise ExecutionError(message)


def _call(function: Any, *arguments: Any, doing: str) -> Any:
    error, *values = function(*arguments)
    _check(error, doing)
    return values[0] if values else None


def _check(error: Any, doing: str) -> None:
    if error.name != "cudaSuccess":
        # CUDA keeps it as the thread's last error, which TensorRT would take for one of its own.
        runtime_api().cudaGetLastError()
        raise_cuda_error(error.name, doing)


def set_device(device: int) -> None:
    """Make ``device`` the calling thread's current GPU."""
    _call(runtime_api().cudaSetDevice, device, doing=f"use GPU {device}")


def check_last_error(doing: str) -> None:
    """Raise if an earlier call of this thread left a CUDA error."""
    _call(runtime_api().cudaGetLastError, doing=doing)


class Stream(Closing):
    """A CUDA stream that does not wait for the default one.

    Attributes
    ----------
    handle : the stream's address, as TensorRT takes it.
    """

    def __init__(self) -> None:
        cudart = runtime_api()
        self._stream: Any = _call(
            cudart.cudaStreamCreateWithFlags, cudart.cudaStreamNonBlocking, doing="make a stream"
        )
        self.handle = int(self._stream)
        self._wait = cudart.cudaStreamSynchronize

    @property
    def native(self) -> Any:
        """cuda-python's own stream, for what is not offered here; None once this is closed."""
        return self._stream

    def wait(self, event: Event) -> None:
        """Let what is given to the stream from now on wait for the event, without waiting here."""
        _call(runtime_api().cudaStreamWaitEvent, self._stream, event._event, 0, doing="wait in a stream")

    def wait_for(self, stream: int) -> None:
        """Let what is given to the stream from now on wait for what another holds, without waiting here.

        Parameters
        ----------
        stream : the other stream's address; 1 stands for the legacy default stream, 2 for the thread's.
        """
        if stream == self.handle:
            return
        cudart = runtime_api()
        flags = cudart.cudaEventDisableTiming
        event = _call(cudart.cudaEventCreateWithFlags, flags, doing="make an event")
        try:
            _call(cudart.cudaEventRecord, event, stream, doing="record an event in the caller's stream")
            _call(cudart.cudaStreamWaitEvent, self._stream, event, 0, doing="wait for the caller's stream")
        finally:
            cudart.cudaEventDestroy(event)

    def synchronize(self) -> None:
        """Wait until all work given to the stream is done; raise what went wrong in it."""
        _check(self._wait(self._stream)[0], "finish the work of a stream")

    def close(self) -> None:
        """Destroy the stream."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            _call(runtime_api().cudaStreamDestroy, stream, doing="destroy a stream")


class Event(Closing):
    """A point in a stream's work, to take times between."""

    def __init__(self) -> None:
        self._event: Any = _call(runtime_api().cudaEventCreate, doing="make an event")

    def record(self, stream: Stream) -> None:
        """Mark the present end of the stream's work."""
        _call(runtime_api().cudaEventRecord, self._event, stream._stream, doing="record an event")

    def synchronize(self) -> None:
        """Wait until the work before the mark is done; raise what went wrong in it."""
        _call(runtime_api().cudaEventSynchronize, self._event, doing="wait for an event")

    def elapsed_ms(self, start: Event) -> float:
        """Wait for this event and return the time since ``start``, in milliseconds."""
        self.synchronize()
        return float(
            _call(runtime_api().cudaEventElapsedTime, start._event, self._event, doing="read a time")
        )

    def close(self) -> None:
        """Destroy the event."""
        if self._event is not None:
            event, self._event = self._event, None
            _call(runtime_api().cudaEventDestroy, event, doing="destroy an event")


class Graph(Closing):
    """Work of a stream, recorded once and launched again without the host's part of it.

    Parameters
    ----------
    stream : where the work is recorded.
    work : queues it; must have run once before, so that nothing is set up while recording.

    Raises
    ------
    ExecutionError : CUDA or the library refuses to record; the stream is usable again.

    References
    ----------
    NVIDIA, CUDA C++ Programming Guide, "CUDA Graphs".
    """

    def __init__(self, stream: Stream, work: Callable[[], None]) -> None:
        cudart = runtime_api()
        self._launchable: Any = None
        mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        _call(cudart.cudaStreamBeginCapture, stream._stream, mode, doing="begin a CUDA graph")
        try:
            work()
        except BaseException:
            # A capture that failed is still open, and what it left must not be taken for the next call's.
            cudart.cudaStreamEndCapture(stream._stream)
            cudart.cudaGetLastError()
            raise
        recorded = _call(cudart.cudaStreamEndCapture, stream._stream, doing="end a CUDA graph")
        try:
            self._launchable = _call(cudart.cudaGraphInstantiate, recorded, 0, doing="prepare a CUDA graph")
        finally:
            cudart.cudaGraphDestroy(recorded)

    def launch(self, stream: Stream) -> None:
        """Queue the recorded work."""
        launch = runtime_api().cudaGraphLaunch
        _call(launch, self._launchable, stream._stream, doing="launch a CUDA graph")

    def close(self) -> None:
        """Free the graph."""
        if self._launchable is not None:
            launchable, self._launchable = self._launchable, None
            _call(runtime_api().cudaGraphExecDestroy, launchable, doing="free a CUDA graph")


class _Buffer(Closing):
    """Memory that grows when more is asked for, and never shrinks."""

    _kind: str

    def __init__(self) -> None:
        self.address, self.capacity_bytes = 0, 0

    def reserve(self, num_bytes: int) -> None:
        """Make room for ``num_bytes``, one at least; what was stored is lost if the buffer grows."""
        needed = max(num_bytes, 1)
        if needed > self.capacity_bytes:
            self.close()
            doing = f"reserve {needed} bytes of {self._kind} memory"
            self.address = int(_call(self._allocate, needed, doing=doing))
            self.capacity_bytes = needed

    def close(self) -> None:
        """Free the memory."""
        if self.address:
            address, self.address, self.capacity_bytes = self.address, 0, 0
            _call(self._free, address, doing=f"free {self._kind} memory")

    def _allocate(self, num_bytes: int) -> Any:
        raise NotImplementedError

    def _free(self, address: int) -> Any:
        raise NotImplementedError


class DeviceBuffer(_Buffer):
    """GPU memory that grows when more is asked for, and never shrinks."""

    _kind = "GPU"

    def _allocate(self, num_bytes: int) -> Any:
        return runtime_api().cudaMalloc(num_bytes)

    def _free(self, address: int) -> Any:
        return runtime_api().cudaFree(address)


class PinnedBuffer(_Buffer):
    """Page-locked host memory that grows when more is asked for, so that copies run beside kernels."""

    _kind = "pinned"

    def view(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the beginning of the buffer as an array; it is valid until the buffer grows or closes."""
        block: Any = (ctypes.c_byte * self.capacity_bytes).from_address(self.address)
        flat: NDArray[Any] = np.frombuffer(block, dtype=dtype, count=math.prod(shape))
        return flat.reshape(shape)

    def _allocate(self, num_bytes: int) -> Any:
        return runtime_api().cudaMallocHost(num_bytes)

    def _free(self, address: int) -> Any:
        return runtime_api().cudaFreeHost(address)


def copy_to_device(target: DeviceBuffer, source: PinnedBuffer, num_bytes: int, stream: Stream) -> None:
    """Queue a copy from pinned to GPU memory."""
    kind = runtime_api().cudaMemcpyKind.cudaMemcpyHostToDevice
    _copy(target.address, source.address, num_bytes, kind, stream)


def copy_to_host(target: PinnedBuffer, source: DeviceBuffer | int, num_bytes: int, stream: Stream) -> None:
    """Queue a copy from GPU to pinned memory; ``source`` is a buffer or an address."""
    kind = runtime_api().cudaMemcpyKind.cudaMemcpyDeviceToHost
    address = source if isinstance(source, int) else source.address
    _copy(target.address, address, num_bytes, kind, stream)


def copy_on_device(target: int, source: int, num_bytes: int, stream: int) -> None:
    """Queue a copy within GPU memory.

    Parameters
    ----------
    target, source : addresses.
    num_bytes : how much.
    stream : the stream's address, as TensorRT gives it.
    """
    cudart = runtime_api()
    kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToDevice
    doing = f"copy {num_bytes} bytes on the GPU"
    _call(cudart.cudaMemcpyAsync, target, source, num_bytes, kind, stream, doing=doing)


def copy_array_to_device(target: int, source: NDArray[Any]) -> None:
    """Copy a C-contiguous array to GPU memory at ``target`` and wait for it."""
    kind = runtime_api().cudaMemcpyKind.cudaMemcpyHostToDevice
    _copy_and_wait(target, source.ctypes.data, source.nbytes, kind)


def copy_device_to_array(target: NDArray[Any], source: int) -> None:
    """Fill a C-contiguous array from GPU memory at ``source`` and wait for it."""
    kind = runtime_api().cudaMemcpyKind.cudaMemcpyDeviceToHost
    _copy_and_wait(target.ctypes.data, source, target.nbytes, kind)


def device_of(address: int) -> int | None:
    """Return which GPU holds the memory at ``address``, or None where it is not GPU memory."""
    cudart = runtime_api()
    found = _call(cudart.cudaPointerGetAttributes, address, doing="ask where memory lies")
    kinds = cudart.cudaMemoryType
    on_gpu = found.type in (kinds.cudaMemoryTypeDevice, kinds.cudaMemoryTypeManaged)
    return int(found.device) if on_gpu else None


def fill_with_zeros(target: DeviceBuffer | int, num_bytes: int, stream: Stream) -> None:
    """Queue the zeroing of the beginning of a buffer, or of memory at an address."""
    doing = f"fill {num_bytes} bytes with zeros"
    address = target if isinstance(target, int) else target.address
    _call(runtime_api().cudaMemsetAsync, address, 0, num_bytes, stream._stream, doing=doing)


def free_memory_bytes() -> int:
    """Return how much memory the current GPU has left."""
    return _memory_bytes()[0]


def total_memory_bytes() -> int:
    """Return how much memory the current GPU has."""
    return _memory_bytes()[1]


def _memory_bytes() -> tuple[int, int]:
    found = runtime_api().cudaMemGetInfo()
    _call(lambda: found, doing="read how much GPU memory is free")
    return int(found[1]), int(found[2])


def _copy_and_wait(target: int, source: int, num_bytes: int, kind: Any) -> None:
    cudart = runtime_api()
    if num_bytes:
        _call(cudart.cudaMemcpy, target, source, num_bytes, kind, doing=f"copy {num_bytes} bytes")
        # From pageable memory the call may return while the last part is still under way.
        _call(cudart.cudaStreamSynchronize, LEGACY_STREAM, doing="finish a copy")


def _copy(target: int, source: int, num_bytes: int, kind: Any, stream: Stream) -> None:
    cudart = runtime_api()
    doing = f"copy {num_bytes} bytes"
    _call(cudart.cudaMemcpyAsync, target, source, num_bytes, kind, stream._stream, doing=doing)
