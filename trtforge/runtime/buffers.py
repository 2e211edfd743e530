"""The memory of a lane: for each tensor a place on the GPU and a pinned one on the host."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.nvidia.cuda import (
    DeviceBuffer,
    PinnedBuffer,
    Stream,
    copy_on_device,
    copy_to_device,
    copy_to_host,
)


class Tensors:
    """Buffers that grow on demand, and the stream that all copies go through."""

    def __init__(self) -> None:
        self._resources = ExitStack()
        self._device: dict[str, DeviceBuffer] = {}
        self._pinned: dict[str, PinnedBuffer] = {}
        self.stream = self._resources.enter_context(Stream())

    def __enter__(self) -> Tensors:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    @property
    def device_bytes(self) -> int:
        """Memory held on the GPU."""
        return sum(buffer.capacity_bytes for buffer in tuple(self._device.values()))

    @property
    def pinned_bytes(self) -> int:
        """Page-locked memory held on the host."""
        return sum(buffer.capacity_bytes for buffer in tuple(self._pinned.values()))

    def send(self, name: str, array: NDArray[Any]) -> int:
        """Queue a copy of an input to the GPU; return its address there."""
        device, pinned = self._on_device(name, array.nbytes), self._on_host(name, array.nbytes)
        np.copyto(pinned.view(array.shape, array.dtype), array)
        copy_to_device(device, pinned, array.nbytes, self.stream)
        return device.address

    def stage(self, name: str, address: int, num_bytes: int) -> int:
        """Queue a copy of an input that is on the GPU already; return the address of the copy."""
        device = self._on_device(name, num_bytes)
        if num_bytes:
            copy_on_device(device.address, address, num_bytes, self.stream.handle)
        return device.address

    def reserve(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
        """Make room for an output; return its address on the GPU."""
        return self._on_device(name, math.prod(shape) * dtype.itemsize).address

    def fetch(
        self, outputs: Mapping[str, tuple[int, tuple[int, ...], np.dtype[Any]]]
    ) -> dict[str, NDArray[Any]]:
        """Wait for the stream and return copies of the outputs.

        Parameters
        ----------
        outputs : output name to its address on the GPU, shape and dtype.
        """
        for name, (address, shape, dtype) in outputs.items():
            num_bytes = math.prod(shape) * dtype.itemsize
            pinned = self._on_host(name, num_bytes)
            if num_bytes:
                copy_to_host(pinned, address, num_bytes, self.stream)
        self.stream.synchronize()
        return {
            name: self._pinned[name].view(shape, dtype).copy() for name, (_, shape, dtype) in outputs.items()
        }

    def release(self) -> None:
        """Free all buffers; they grow again when they are needed."""
        for buffer in (*self._device.values(), *self._pinned.values()):
            buffer.close()

    def _on_device(self, name: str, num_bytes: int) -> DeviceBuffer:
        if name not in self._device:
            self._device[name] = self._resources.enter_context(DeviceBuffer())
        self._device[name].reserve(num_bytes)
        return self._device[name]

    def _on_host(self, name: str, num_bytes: int) -> PinnedBuffer:
        if name not in self._pinned:
            self._pinned[name] = self._resources.enter_context(PinnedBuffer())
        self._pinned[name].reserve(num_bytes)
        return self._pinned[name]
