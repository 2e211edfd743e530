"""Ask the driver which GPUs there are, without CUDA packages and without ever crashing."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtforge.errors import NoGpuError

_LIBRARY = "libcuda.so.1"
_DRIVER_VERSION_FILE = Path("/sys/module/nvidia/version")
# CUdevice_attribute values of the driver's stable C interface.
_COMPUTE_CAPABILITY_MAJOR = 75
_COMPUTE_CAPABILITY_MINOR = 76
_L2_CACHE_SIZE = 38


@dataclass(frozen=True)
class Gpu:
    """One GPU that CUDA can use.

    Parameters
    ----------
    index : CUDA device ordinal.
    name : the product's name.
    compute_capability : such as ``9.0``.
    memory_bytes : total device memory.
    driver : version of the kernel driver, or ``unknown``.
    cuda_version : newest CUDA version that the driver serves, such as ``13.0``.
    """

    index: int
    name: str
    compute_capability: str
    memory_bytes: int
    driver: str
    cuda_version: str

    def __str__(self) -> str:
        memory = f"{self.memory_bytes / 2**30:.0f} GiB"
        return f"{self.name} (compute capability {self.compute_capability}, {memory}, driver {self.driver})"


def gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that CUDA can use here; none where there is no driver or no device."""
    library = _driver_library()
    if library is None:
        return ()
    count, version = ctypes.c_int(), ctypes.c_int()
    if library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    if library.cuDriverGetVersion(ctypes.byref(version)):
        return ()
    cuda_version = f"{version.value // 1000}.{version.value % 1000 // 10}"
    found = (_query_gpu(library, index, cuda_version) for index in range(count.value))
    return tuple(gpu for gpu in found if gpu is not None)


def l2_cache_bytes(device: int = 0) -> int | None:
    """Return the size of a GPU's L2 cache; None where CUDA finds no such GPU."""
    library = _driver_library()
    handle, size = ctypes.c_int(), ctypes.c_int()
    if library is None or library.cuInit(0) or library.cuDeviceGet(ctypes.byref(handle), device):
        return None
    if library.cuDeviceGetAttribute(ctypes.byref(size), _L2_CACHE_SIZE, handle):
        return None
    return size.value


def pci_bus_id(device: int = 0) -> str | None:
    """Return where on the PCI bus a GPU sits, such as ``0000:1b:00.0``; None where CUDA finds no such GPU.

    It is the name by which other libraries know the GPU, whichever ones ``CUDA_VISIBLE_DEVICES`` hides.
    """
    library, handle = _driver_library(), ctypes.c_int()
    if library is None or library.cuInit(0) or library.cuDeviceGet(ctypes.byref(handle), device):
        return None
    name = ctypes.create_string_buffer(32)
    if library.cuDeviceGetPCIBusId(name, len(name), handle):
        return None
    return name.value.decode()


def _driver_library() -> Any:
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError:
        return None


def require_gpu(purpose: str, *, device: int = 0, instead: str, settings: tuple[str, ...] = ()) -> Gpu:
    """Return GPU ``device``, or say what can be done without one.

    Parameters
    ----------
    purpose : what needs it, as the end of "a GPU is needed to ...".
    device : CUDA device ordinal.
    instead : the hint where there is none.
    settings : names of the arguments that the hint is about.

    Raises
    ------
    NoGpuError : there is no such GPU.
    """
    present = gpus()
    for gpu in present:
        if gpu.index == device:
            return gpu
    if present:
        raise NoGpuError(
            f"GPU {device} is needed to {purpose}, and this machine has {len(present)}, counted from 0",
            hint=f"choose a device below {len(present)}",
            settings=("device",),
        )
    raise NoGpuError(
        f"a GPU is needed to {purpose}, and CUDA finds none here", hint=instead, settings=settings
    )


def _query_gpu(library: Any, index: int, cuda_version: str) -> Gpu | None:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    memory, name = ctypes.c_size_t(), ctypes.create_string_buffer(128)
    failed = (
        library.cuDeviceGet(ctypes.byref(device), index)
        or library.cuDeviceGetName(name, len(name), device)
        or library.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        or library.cuDeviceGetAttribute(ctypes.byref(major), _COMPUTE_CAPABILITY_MAJOR, device)
        or library.cuDeviceGetAttribute(ctypes.byref(minor), _COMPUTE_CAPABILITY_MINOR, device)
    )
    if failed:
        return None
    return Gpu(
        index=index,
        name=name.value.decode(errors="replace"),
        compute_capability=f"{major.value}.{minor.value}",
        memory_bytes=memory.value,
        driver=_driver_version(),
        cuda_version=cuda_version,
    )


def _driver_version() -> str:
    try:
        return _DRIVER_VERSION_FILE.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return "unknown"
