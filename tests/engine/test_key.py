import dataclasses

import pytest

from trtforge.engine import BuildConfig
from trtforge.engine import key as key_module
from trtforge.engine.key import build_key
from trtforge.errors import PluginMissingError
from trtforge.nvidia.devices import Gpu
from trtforge.nvidia.selection import flavor_for
from trtforge.profiles import OptimizationProfile

H200 = Gpu(0, "NVIDIA H200", "9.0", 1 << 37, "580.95.05", "13.0")
V8 = flavor_for("tensorrt", "8.6.0")
SMALL = OptimizationProfile({"mel": ((1, 80, 10), (4, 80, 500), (8, 80, 1000))})
LARGE = OptimizationProfile({"mel": ((1, 80, 10), (4, 80, 500), (8, 80, 2000))})
GIVEN = {
    "network_sha256": "a" * 64,
    "flavor": V8,
    "config": BuildConfig(precision="int8", calibration_cache=b"cache"),
    "profiles": [SMALL, LARGE],
    "system": "Linux x86_64",
    "gpu": H200,
    "scales_sha256": None,
    "feeds_sha256": None,
}


@pytest.fixture(autouse=True)
def _gpu(monkeypatch):
    monkeypatch.setattr("trtforge.nvidia.devices.gpus", lambda: (H200,))


def key(**changes):
    return build_key(**{**GIVEN, **changes})


def test_the_same_build_has_the_same_key():
    assert len(key()) == 64
    assert key() == key(profiles=(SMALL, LARGE))
    assert key() == key(config=dataclasses.replace(GIVEN["config"], timing_cache="elsewhere"))
    assert key() == key(gpu=dataclasses.replace(H200, index=3, driver="580.126"))


def test_all_that_decides_the_result_is_in_the_key(monkeypatch):
    keys = [
        key(),
        key(network_sha256="b" * 64),
        key(flavor=flavor_for("tensorrt", "10.16.1")),
        key(flavor=flavor_for("tensorrt_rtx", "1.7.1")),
        key(config=BuildConfig(precision="int8", calibration_cache=b"other")),
        key(config=BuildConfig(precision="int8")),
        key(config=BuildConfig(precision="float16")),
        key(config=BuildConfig(precision="int8", optimization_level=1)),
        key(config=BuildConfig(precision="int8", workspace_bytes=1 << 30)),
        key(profiles=[LARGE, SMALL]),
        key(profiles=[SMALL]),
        key(system="Linux aarch64"),
        key(gpu=dataclasses.replace(H200, name="NVIDIA H100")),
        key(gpu=dataclasses.replace(H200, driver="590.10")),
        key(unquantized_sha256="c" * 64),
        key(scales_sha256="c" * 64),
        key(feeds_sha256="c" * 64),
        key(observations_sha256="c" * 64),
    ]
    monkeypatch.setattr(key_module.trtforge, "__version__", "9.9")
    keys.append(key())
    assert len(set(keys)) == len(keys)


def test_portable_engines_have_one_key_everywhere():
    rtx = {"flavor": flavor_for("tensorrt_rtx", "1.7.1"), "config": BuildConfig()}
    assert key(**rtx) == key(**rtx, gpu=None, system="Windows AMD64")
    assert key(**rtx) != key(**{**rtx, "config": BuildConfig(compute_capabilities=("8.9",))})


def test_a_plugin_counts_by_its_content(tmp_path):
    for name, content in (("a.so", b"1"), ("b.so", b"1"), ("c.so", b"2")):
        (tmp_path / name).write_bytes(content)
    first, same, other = (key(config=BuildConfig(plugins=(tmp_path / f"{name}.so",))) for name in "abc")
    assert first == same != other
    with pytest.raises(PluginMissingError, match=r"no plugin library at .*d\.so"):
        key(config=BuildConfig(plugins=(tmp_path / "d.so",)))
