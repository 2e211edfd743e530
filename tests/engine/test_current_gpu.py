"""An engine is built on, and said to be for, the GPU that the calling thread works on."""

from types import SimpleNamespace

import pytest

from tests.engine import fake_builder
from tests.engine.networks import PROFILE, conv_net
from trtforge.engine import build
from trtforge.nvidia import Gpu
from trtforge.nvidia.current import current_device, current_gpu
from trtforge.nvidia.selection import flavor_for

FIRST = Gpu(0, "NVIDIA L4", "8.9", 1 << 35, "580", "13.0")
SECOND = Gpu(1, "NVIDIA H200", "9.0", 1 << 37, "580", "13.0")
OK, FAILURE = SimpleNamespace(name="cudaSuccess"), SimpleNamespace(name="cudaErrorNoDevice")


@pytest.fixture
def on_second(monkeypatch):
    _, driver = fake_builder.install(monkeypatch)
    monkeypatch.setattr("trtforge.nvidia.devices.gpus", lambda: (FIRST, SECOND))
    monkeypatch.setattr("trtforge.nvidia.current.is_installed", lambda module: True)
    monkeypatch.setattr("trtforge.nvidia.current.runtime_api", lambda: driver)
    monkeypatch.setattr(driver, "cudaGetDevice", lambda: (OK, 1), raising=False)
    return driver


def test_the_manifest_names_the_second_gpu_where_that_is_used(on_second, tmp_path):
    flavor = flavor_for("tensorrt", "8.6.0")
    made = build(conv_net(), profiles=[PROFILE], flavor=flavor, store=tmp_path).manifest
    assert (made.gpu, made.compute_capabilities) == ("NVIDIA H200", ("9.0",))
    on_second.cudaGetDevice = lambda: (OK, 0)
    other = build(conv_net(), profiles=[PROFILE], flavor=flavor, store=tmp_path).manifest
    assert (other.gpu, other.compute_capabilities) == ("NVIDIA L4", ("8.9",))
    assert other.build_key != made.build_key


def test_where_nothing_can_be_asked_it_is_the_first(on_second, monkeypatch):
    on_second.cudaGetDevice = lambda: (FAILURE, 7)
    assert (current_device(), current_gpu()) == (0, FIRST)
    monkeypatch.setattr("trtforge.nvidia.current.is_installed", lambda module: False)
    assert current_gpu() == FIRST
    monkeypatch.setattr("trtforge.nvidia.devices.gpus", lambda: ())
    assert current_gpu() is None
