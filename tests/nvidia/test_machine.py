import pytest

from trtforge.nvidia import machine
from trtforge.nvidia.devices import Gpu
from trtforge.nvidia.selection import flavor_for

H200 = Gpu(0, "NVIDIA H200", "9.0", 150 << 30, "580.95.05", "13.0")
RTX = flavor_for("tensorrt_rtx", "1.7.1.116")
TENSORRT = flavor_for("tensorrt", "8.6.0")


@pytest.fixture
def describe(monkeypatch):
    def pretend(*, gpus=(), flavors=(), missing=()):
        versions = {flavor.name: flavor.version for flavor in flavors}
        monkeypatch.setattr(machine, "gpus", lambda: gpus)
        monkeypatch.setattr(machine, "available", lambda: flavors)
        monkeypatch.setattr(machine, "installed_version", lambda kind: versions.get(kind.name))
        monkeypatch.setattr(machine, "is_installed", lambda module: module not in missing)
        found = machine.describe_machine()
        return found, {item.name: (item.possible, item.reason) for item in found.capabilities}

    return pretend


def test_without_a_gpu_engines_are_built_but_not_run(describe):
    found, can = describe(flavors=(RTX,))
    assert found.libraries == {"tensorrt_rtx": "1.7.1.116"}
    assert can["build engines with TensorRT-RTX"] == (True, "with tensorrt_rtx 1.7.1.116, no GPU needed")
    assert can["build engines with TensorRT"] == (False, "needs a GPU: CUDA finds no GPU")
    assert can["run engines"][0] is False
    assert "GPU         none: CUDA finds no GPU" in str(found)
    assert found.memory_bytes > 2**20
    assert found.num_cpus >= 1


def test_what_is_missing_comes_with_the_command_that_brings_it(describe):
    _, can = describe(missing=("numba", "jiwer", "librosa"))
    assert can["calibrate"] == (False, 'needs numba: python -m pip install "trtforge[calibrate]"')
    assert can["evaluate accuracy"] == (False, 'needs jiwer: python -m pip install "trtforge[speech]"')
    assert can["build engines with TensorRT-RTX"] == (
        False,
        'needs tensorrt_rtx: python -m pip install "trtforge[rtx]"',
    )


def test_a_gpu_that_rtx_does_not_run_on_is_said_by_name(describe):
    _, can = describe(gpus=(H200,), flavors=(RTX,))
    assert can["run engines"] == (
        False,
        'no installed library runs on NVIDIA H200: python -m pip install "trtforge[tensorrt]"',
    )
    found, can = describe(gpus=(H200,), flavors=(TENSORRT, RTX))
    assert can["run engines"] == (True, "with tensorrt 8.6.0")
    assert can["build engines with TensorRT"] == (True, "with tensorrt 8.6.0")
    assert "GPU 0       NVIDIA H200 (compute capability 9.0, 150 GiB, driver 580.95.05)" in str(found)
    _, can = describe(gpus=(H200,), flavors=(TENSORRT,), missing=("cuda.bindings.runtime",))
    assert can["run engines"] == (False, 'needs cuda-python: python -m pip install "trtforge[run]"')
