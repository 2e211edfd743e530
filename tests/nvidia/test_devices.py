import subprocess
import sys

import pytest

from trtforge.errors import NoGpuError
from trtforge.nvidia import devices


class Driver:
    """Plays ``libcuda``: one H200, or the failure of one call."""

    def __init__(self, failing=None, count=1):
        self.failing, self.count = failing, count

    def __getattr__(self, name):
        def call(*arguments):
            if name == self.failing:
                return 100
            values = {"cuDeviceGetCount": self.count, "cuDriverGetVersion": 13000, "cuDeviceGet": 0}
            if name in values:
                arguments[0]._obj.value = values[name]
            elif name == "cuDeviceTotalMem_v2":
                arguments[0]._obj.value = 150 << 30
            elif name == "cuDeviceGetAttribute":
                arguments[0]._obj.value = {75: 9, 76: 0}[arguments[1]]
            elif name == "cuDeviceGetName":
                arguments[0].value = b"NVIDIA H200"
            return 0

        return call


def test_the_driver_is_asked(monkeypatch, tmp_path):
    version = tmp_path / "version"
    version.write_text("580.95.05\n")
    monkeypatch.setattr(devices, "_DRIVER_VERSION_FILE", version)
    monkeypatch.setattr(devices, "_driver_library", Driver)
    (gpu,) = devices.gpus()
    assert gpu == devices.Gpu(0, "NVIDIA H200", "9.0", 150 << 30, "580.95.05", "13.0")
    assert str(gpu) == "NVIDIA H200 (compute capability 9.0, 150 GiB, driver 580.95.05)"


@pytest.mark.parametrize("call", ["cuInit", "cuDeviceGetCount", "cuDriverGetVersion", "cuDeviceGetName"])
def test_a_driver_that_fails_means_no_gpu(monkeypatch, call):
    monkeypatch.setattr(devices, "_driver_library", lambda: Driver(failing=call))
    assert devices.gpus() == ()


def test_a_missing_driver_means_no_gpu(monkeypatch):
    monkeypatch.setattr(devices, "_LIBRARY", "libcuda-that-is-not-there.so.1")
    assert devices.gpus() == ()


def test_a_gpu_that_is_not_there_is_said_to_be_so(monkeypatch):
    monkeypatch.setattr(devices, "_driver_library", Driver)
    assert devices.require_gpu("run", instead="").name == "NVIDIA H200"
    with pytest.raises(
        NoGpuError, match=r"GPU 3 is needed to run, and this machine has 1.*\n.*a device below 1"
    ):
        devices.require_gpu("run", device=3, instead="")
    monkeypatch.setattr(devices, "_driver_library", lambda: None)
    with pytest.raises(NoGpuError, match="a GPU is needed to run, and CUDA finds none here\nhint: walk"):
        devices.require_gpu("run", instead="walk")


def test_asking_imports_nothing_of_nvidia():
    code = (
        "import sys, trtforge.nvidia as n; n.gpus(); n.available(); n.describe_machine(); "
        "print([m for m in sys.modules if m.partition('.')[0] in ('tensorrt', 'tensorrt_rtx', 'onnx')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
