"""Ask the driver how much memory GPUs have and use, without CUDA and without a context."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

from trtforge._optional import is_installed, require


@dataclass(frozen=True)
class DeviceMemory:
    """Memory of a GPU, in bytes, whoever uses it."""

    used_bytes: int
    total_bytes: int


class MemoryReader:
    """Reads the memory of all GPUs through NVML; where NVML or a driver is absent there are none.

    GPUs are in NVML's order, which is CUDA's where ``CUDA_DEVICE_ORDER=PCI_BUS_ID`` is set and
    ``CUDA_VISIBLE_DEVICES`` hides none.

    References
    ----------
    NVIDIA, NVML API Reference, ``nvmlDeviceGetMemoryInfo``.
    """

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: list[Any] = []
        if not is_installed("pynvml"):
            return
        nvml = require("pynvml", "read how much memory GPUs have")
        try:
            nvml.nvmlInit()
            self._nvml = nvml
            self._handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError:
            self._handles = []

    def __enter__(self) -> MemoryReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self) -> dict[int, DeviceMemory]:
        """Return the memory of each GPU by its index; one that NVML cannot read is left out."""
        found = {}
        for index, handle in enumerate(self._handles):
            try:
                info = self._nvml.nvmlDeviceGetMemoryInfo(handle)
            except self._nvml.NVMLError:
                continue
            found[index] = DeviceMemory(int(info.used), int(info.total))
        return found

    def close(self) -> None:
        """Let NVML go; closing twice does nothing."""
        nvml, self._nvml, self._handles = self._nvml, None, []
        if nvml is not None:
            nvml.nvmlShutdown()
