"""What NVML tells where there is none of it: nothing, and why."""

import sys
from types import SimpleNamespace

import pytest

from trtforge._optional import is_installed
from trtforge.nvidia import gpus
from trtforge.nvidia import nvml as nvml_module
from trtforge.nvidia import telemetry as telemetry_module
from trtforge.nvidia.devices import l2_cache_bytes, pci_bus_id
from trtforge.nvidia.telemetry import Telemetry


@pytest.mark.skipif(bool(gpus()), reason="this machine has a GPU")
def test_without_a_gpu_nothing_is_told_and_the_reason_is():
    with Telemetry() as telemetry:
        assert telemetry.missing is not None
        wanted = "NVML" if is_installed("pynvml") else 'python -m pip install "trtforge[bench]"'
        assert wanted in telemetry.missing
        assert (telemetry.energy_j(), telemetry.used_bytes()) == (None, None)
        assert (telemetry.state(), telemetry.limits()) == ({}, {})
    telemetry.close()
    assert l2_cache_bytes() is None
    assert pci_bus_id() is None


def test_the_gpu_that_cuda_numbers_is_the_one_that_is_read(monkeypatch):
    asked = []
    nvml = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetHandleByPciBusId=lambda bus_id: asked.append(bus_id) or "second",
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: {"second": 5000}[handle],
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(telemetry_module, "is_installed", lambda name: True)
    monkeypatch.setattr(nvml_module, "pci_bus_id", lambda device: f"0000:{device + 2:02}:00.0")
    with Telemetry(1) as telemetry:
        assert telemetry.energy_j() == 5
    assert asked == [b"0000:03:00.0"]
