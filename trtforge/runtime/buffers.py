"""The memory of a session: for each tensor a place on the GPU and a pinned one on the host."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.nvidia.cuda import DeviceBuffer, PinnedBuffer, Stream, copy_to_device, copy_to_host


class Tensors:
    """Buffers that grow on demand, and the stream that all copies go through."""

    def __init__(self) -> None:
        self._resources = ExitStack()
        self._buffers: dict[str, tuple[DeviceBuffer, PinnedBuffer]] = {}
        self.stream = self._resources.enter_context(Stream())

    def __enter__(self) -> Tensors:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def send(self, name: str, array: NDArray[Any]) -> int:
        """Queue a copy of an input to the GPU; return its address there."""
        device, pinned = self._grown(name, array.nbytes)
        np.copyto(pinned.view(array.shape, array.dtype), array)
        copy_to_device(device, pinned, array.nbytes, self.stream)
        return device.address

    def reserve(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
        """Make room for an output; return its address on the GPU."""
        return self._grown(name, math.prod(shape) * dtype.itemsize)[0].address

    def fetch(self, outputs: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> dict[str, NDArray[Any]]:
        """Wait for the stream and return copies of the outputs.

        Parameters
        ----------
        outputs : output name to its shape and dtype.
        """
        for name, (shape, dtype) in outputs.items():
            device, pinned = self._buffers[name]
            copy_to_host(pinned, device, math.prod(shape) * dtype.itemsize, self.stream)
        self.stream.synchronize()
        return {
            name: self._buffers[name][1].view(shape, dtype).copy() for name, (shape, dtype) in outputs.items()
        }

    def _grown(self, name: str, num_bytes: int) -> tuple[DeviceBuffer, PinnedBuffer]:
        if name not in self._buffers:
            self._buffers[name] = (
                self._resources.enter_context(DeviceBuffer()),
                self._resources.enter_context(PinnedBuffer()),
            )
        device, pinned = self._buffers[name]
        device.reserve(num_bytes)
        pinned.reserve(num_bytes)
        return device, pinned
