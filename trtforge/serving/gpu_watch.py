"""The memory of GPUs as gauges, and as the share that the policy asks for."""

from __future__ import annotations

import threading
import time

from trtforge.nvidia.device_memory import MemoryReader
from trtforge.serving.metrics import MetricSink

# Reading takes the driver some time, and memory does not change faster than anyone could act on.
_FRESH_SECONDS = 1.0


class GpuWatch:
    """Reads GPU memory when it is asked, once a second at most, and sets its gauges.

    Parameters
    ----------
    sink : where the gauges are.
    reader : what to ask; NVML by default.
    """

    def __init__(self, sink: MetricSink, reader: MemoryReader | None = None) -> None:
        self._sink = sink
        self._reader = MemoryReader() if reader is None else reader
        self._lock = threading.Lock()
        self._read_at = -_FRESH_SECONDS
        self._shares: dict[int, float] = {}

    def share(self, device: int) -> float | None:
        """Return the share of a GPU's memory that is in use, 0 to 1; None where that is not known."""
        with self._lock:
            now = time.monotonic()
            if now - self._read_at >= _FRESH_SECONDS:
                self._read_at = now
                for index, memory in self._reader.read().items():
                    self._sink.set("gpu_memory_used_bytes", str(index), to=memory.used_bytes)
                    self._sink.set("gpu_memory_total_bytes", str(index), to=memory.total_bytes)
                    self._shares[index] = memory.used_bytes / memory.total_bytes
            return self._shares.get(device)
