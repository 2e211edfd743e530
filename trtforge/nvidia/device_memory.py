"""Ask the driver how much memory GPUs have and use, without a CUDA context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trtforge._closing import Closing
from trtforge._optional import is_installed, require
from trtforge.nvidia import devices
from trtforge.nvidia.nvml import nvml_handle


@dataclass(frozen=True)
class DeviceMemory:
    """Memory of a GPU, in bytes, whoever uses it."""

    used_bytes: int
    total_bytes: int


class MemoryReader(Closing):
    """Reads the memory of the GPUs that CUDA can use through NVML; where NVML or a driver is absent, of none.

    References
    ----------
    NVIDIA, NVML API Reference, ``nvmlDeviceGetMemoryInfo``.
    """

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: dict[int, Any] = {}
        if not is_installed("pynvml"):
            return
        nvml = require("pynvml", "read how much memory GPUs have")
        try:
            nvml.nvmlInit()
            self._nvml = nvml
            self._handles = {gpu.index: nvml_handle(nvml, gpu.index) for gpu in devices.gpus()}
        except nvml.NVMLError:
            return

    def read(self) -> dict[int, DeviceMemory]:
        """Return the memory of each GPU by its CUDA device ordinal; one that NVML cannot read is left out."""
        found = {}
        for index, handle in self._handles.items():
            try:
                info = self._nvml.nvmlDeviceGetMemoryInfo(handle)
            except self._nvml.NVMLError:
                continue
            found[index] = DeviceMemory(int(info.used), int(info.total))
        return found

    def close(self) -> None:
        """Let NVML go; closing twice does nothing."""
        nvml, self._nvml, self._handles = self._nvml, None, {}
        if nvml is not None:
            nvml.nvmlShutdown()
