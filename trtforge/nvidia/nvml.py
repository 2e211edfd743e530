"""Find in NVML the GPUs that CUDA numbers."""

from __future__ import annotations

from typing import Any

from trtforge.nvidia.devices import pci_bus_id


def nvml_handle(nvml: Any, device: int) -> Any:
    """Return NVML's handle of a GPU.

    NVML counts all GPUs of a machine by their place on the PCI bus; CUDA counts those that
    ``CUDA_VISIBLE_DEVICES`` shows, in the order that it or ``CUDA_DEVICE_ORDER`` gives. A part of a GPU
    (MIG) stands for the whole of it.

    Parameters
    ----------
    nvml : the module ``pynvml``, initialised.
    device : CUDA device ordinal; where CUDA finds no such GPU, NVML's index.

    Raises
    ------
    NVMLError : NVML knows no such GPU.
    """
    bus_id = pci_bus_id(device)
    if bus_id is None:
        return nvml.nvmlDeviceGetHandleByIndex(device)
    return nvml.nvmlDeviceGetHandleByPciBusId(bus_id.encode())
