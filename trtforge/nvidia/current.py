"""Which GPU the calling thread works on, and so the one that a library builds on and for."""

from __future__ import annotations

from typing import Any

from trtforge._optional import is_installed
from trtforge.nvidia import devices
from trtforge.nvidia.cuda import runtime_api


def current_device() -> int:
    """Return the ordinal of the calling thread's GPU; 0 where none was chosen, or nothing can be asked."""
    if not is_installed("cuda.bindings.runtime"):
        return 0
    query: Any = getattr(runtime_api(), "cudaGetDevice", None)
    if query is None:
        return 0
    error, device = query()
    return int(device) if error.name == "cudaSuccess" else 0


def current_gpu() -> devices.Gpu | None:
    """Return the calling thread's GPU; None where CUDA finds none."""
    device = current_device()
    return next((gpu for gpu in devices.gpus() if gpu.index == device), None)
