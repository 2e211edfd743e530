"""Arrays in GPU memory: what a session gives and takes without a copy to the host."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.nvidia.cuda import (
    DeviceBuffer,
    copy_array_to_device,
    copy_device_to_array,
    set_device,
    total_memory_bytes,
)
from trtforge.runtime import dlpack

# Most memory that is kept for the next arrays: blocks, and bytes, or this part of a larger GPU's memory.
_MAX_IDLE, _MAX_IDLE_BYTES, _MAX_IDLE_SHARE = 256, 1 << 30, 16
_ROUND_TO = 512


class DeviceArray:
    """An array in GPU memory, in C order, which owns its memory.

    PyTorch takes it by ``torch.from_dlpack(array)``, CuPy by ``cupy.from_dlpack(array)`` or
    ``cupy.asarray(array)``, neither with a copy. What it holds is complete: no stream need be waited for.

    Attributes
    ----------
    address : where it lies.
    shape : tuple of int.
    dtype : NumPy's.
    device : CUDA device ordinal.
    """

    __slots__ = ("_block", "_give_back", "_is_shared", "address", "device", "dtype", "shape")

    def __init__(
        self,
        block: DeviceBuffer,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        device: int,
        give_back: Callable[[DeviceBuffer, bool], None],
    ) -> None:
        self._block, self._give_back, self._is_shared = block, give_back, False
        self.address, self.shape, self.dtype, self.device = block.address, shape, dtype, device

    def __repr__(self) -> str:
        return f"<DeviceArray {self.dtype} {list(self.shape)} on GPU {self.device}>"

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        self._is_shared = True
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address if self.nbytes else 0, False),
            "strides": None,
            "stream": None,
            "version": 3,
        }

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
        **_: Any,
    ) -> Any:
        """Return a capsule of the array; it is complete, so that no stream waits for it.

        Raises
        ------
        BufferError : a copy or another device was asked for.
        """
        if copy or dl_device not in (None, self.__dlpack_device__()):
            raise BufferError("a DeviceArray is lent where it lies, and not copied; numpy() gives a copy")
        self._is_shared = True
        return dlpack.make_capsule(self, self.address, self.shape, self.dtype, self.__dlpack_device__())

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return DLPack's number for CUDA, and the ordinal of the GPU."""
        return dlpack.CUDA, self.device

    def numpy(self) -> NDArray[Any]:
        """Return a copy on the host."""
        array = np.empty(self.shape, self.dtype)
        set_device(self.device)
        copy_device_to_array(array, self.address)
        return array

    def __del__(self) -> None:
        # At the end of the interpreter CUDA may be gone before us.
        try:  # noqa: SIM105 - a suppressing context would cost as much as the rest
            self._give_back(self._block, self._is_shared)
        except Exception:  # noqa: S110
            pass


def block_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return the size of the block of memory that an array gets, in bytes."""
    return -(-max(1, math.prod(shape) * dtype.itemsize) // _ROUND_TO) * _ROUND_TO


class DeviceMemory:
    """Memory for device arrays: what an array leaves is kept for the next of its size.

    Memory that another library has seen is not kept, for its work on it may still be under way: it is freed,
    which waits for the GPU. Beyond 256 blocks, or the larger of 1 GiB and a sixteenth of the GPU's memory,
    what has been idle longest is freed.

    Parameters
    ----------
    device : CUDA device ordinal; it must be the calling thread's current GPU.

    Attributes
    ----------
    idle_bytes : memory kept for later arrays.
    lent_bytes : memory of arrays that live.
    """

    def __init__(self, device: int) -> None:
        self._device = device
        self._lock = threading.RLock()  # an array may be collected while this thread holds it
        self._idle: OrderedDict[int, DeviceBuffer] = OrderedDict()  # by address, the oldest first
        self._idle_of_size: defaultdict[int, list[DeviceBuffer]] = defaultdict(list)  # the oldest first
        self._is_open = True
        self._max_idle_bytes = max(_MAX_IDLE_BYTES, total_memory_bytes() // _MAX_IDLE_SHARE)
        self.lent_bytes = self.idle_bytes = 0

    def new(self, shape: tuple[int, ...], dtype: np.dtype[Any], size: int | None = None) -> DeviceArray:
        """Make an array, its contents undefined.

        Parameters
        ----------
        shape, dtype : of the array.
        size : what `block_bytes` gives for them, if that is known.

        Raises
        ------
        OutOfMemoryError : the GPU has no room for it.
        """
        size = size or block_bytes(shape, dtype)
        with self._lock:
            # An array may be collected at any point here and come back, so each step leaves all in order.
            fitting = self._idle_of_size.get(size)
            while fitting:
                block = fitting.pop()
                if self._idle.pop(block.address, None) is None:
                    continue  # it was put away as too old meanwhile
                self.idle_bytes -= size
                self.lent_bytes += size
                return DeviceArray(block, shape, dtype, self._device, self._take_back)
        block = DeviceBuffer()
        block.reserve(size)
        with self._lock:
            self.lent_bytes += size
        return DeviceArray(block, shape, dtype, self._device, self._take_back)

    def send(self, array: NDArray[Any]) -> DeviceArray:
        """Return a copy of an array on the GPU."""
        source = np.ascontiguousarray(array)
        target = self.new(array.shape, array.dtype)
        copy_array_to_device(target.address, source)
        return target

    def free_idle(self) -> None:
        """Free what is kept for later arrays."""
        with self._lock:
            idle, self._idle = self._idle, OrderedDict()
            self._idle_of_size = defaultdict(list)
            self.idle_bytes -= sum(block.capacity_bytes for block in idle.values())
        for block in idle.values():
            block.close()

    def close(self) -> None:
        """Free what is kept; arrays that still live free their own memory when they go."""
        with self._lock:
            self._is_open = False
        self.free_idle()

    def _take_back(self, block: DeviceBuffer, was_shared: bool) -> None:
        size = block.capacity_bytes
        unwanted = []
        with self._lock:
            self.lent_bytes -= size
            if self._is_open and not was_shared:
                self._idle[block.address] = block
                self._idle_of_size[size].append(block)
                self.idle_bytes += size
                while len(self._idle) > _MAX_IDLE or self.idle_bytes > self._max_idle_bytes:
                    _, oldest = self._idle.popitem(last=False)
                    self.idle_bytes -= oldest.capacity_bytes
                    same = self._idle_of_size[oldest.capacity_bytes]
                    with suppress(ValueError):  # just now taken out
                        same.remove(oldest)
                    if not same:
                        self._idle_of_size.pop(oldest.capacity_bytes, None)
                    unwanted.append(oldest)
            else:
                unwanted.append(block)
        for each in unwanted:
            each.close()
