from types import SimpleNamespace

import pytest

from trtforge.errors import ConfigError, EngineIncompatibleError, MissingExtraError, NoGpuError
from trtforge.nvidia import selection
from trtforge.nvidia.devices import Gpu
from trtforge.nvidia.flavor import Flavor
from trtforge.nvidia.rtx import Rtx
from trtforge.nvidia.selection import available, flavor_for, flavor_to_load, is_known, select

H200 = Gpu(0, "NVIDIA H200", "9.0", 150 << 30, "580.95.05", "13.0")


@pytest.fixture
def here(monkeypatch):
    """Pretend that these libraries are installed and these GPUs are present."""

    def pretend(*, tensorrt=None, tensorrt_rtx=None, gpus=()):
        versions = {"tensorrt": tensorrt, "tensorrt_rtx": tensorrt_rtx}
        monkeypatch.setattr(selection, "installed_version", lambda kind: versions[kind.name])
        monkeypatch.setattr(selection, "gpus", lambda: gpus)
        monkeypatch.setattr("trtforge.nvidia.devices.gpus", lambda: gpus)

    return pretend


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        # strongly typed only, precision flags, calibrators, explicit batch, without GPU, int64, opset
        ("tensorrt", "8.6.0", (False, True, True, True, False, False, 17)),
        ("tensorrt", "10.16.1.11", (False, True, True, False, False, True, 24)),
        ("tensorrt", "11.4.0", (True, False, False, False, False, True, 25)),
        ("tensorrt_rtx", "1.7.1.116", (True, False, False, False, True, True, 24)),
    ],
)
def test_each_version_answers_for_itself(name, version, expected):
    flavor = flavor_for(name, version)
    assert str(flavor) == f"{name} {version}"
    assert expected == (
        flavor.strongly_typed_only,
        flavor.has_precision_flags,
        flavor.has_calibrators,
        flavor.needs_explicit_batch_flag,
        flavor.builds_without_gpu,
        flavor.has_int64,
        flavor.max_onnx_opset,
    )


@pytest.mark.parametrize("version", ["8.5.3", "7.2.0", "9.1.0", "12.0.0"])
def test_an_unknown_version_is_said_to_be_so(version):
    assert not is_known("tensorrt", version)
    with pytest.raises(
        ConfigError, match=f"tensorrt {version} is not supported; trtforge knows tensorrt 8.6, 10"
    ):
        flavor_for("tensorrt", version)


def test_the_installed_rtx_is_found_and_imported():
    pytest.importorskip("tensorrt_rtx")
    (flavor,) = (found for found in available() if found.name == "tensorrt_rtx")
    assert flavor.version == flavor.module().__version__


def test_tensorrt_is_preferred_only_where_it_can_build(here):
    here(tensorrt="8.6.0", tensorrt_rtx="1.7.1.116", gpus=(H200,))
    assert repr(select()) == "V8('8.6.0')"
    assert repr(select("tensorrt-rtx")) == "Rtx('1.7.1.116')"
    here(tensorrt="8.6.0", tensorrt_rtx="1.7.1.116")
    assert repr(select()) == "Rtx('1.7.1.116')"


def test_an_unsupported_library_does_not_hide_the_other(here):
    here(tensorrt="8.4.1", tensorrt_rtx="1.7.1.116", gpus=(H200,))
    assert repr(select()) == "Rtx('1.7.1.116')"
    with pytest.raises(ConfigError, match=r"tensorrt 8.4.1 is not supported"):
        select("tensorrt")


def test_asking_for_tensorrt_without_a_gpu_names_the_library_that_needs_none(here):
    here(tensorrt="11.4.0", tensorrt_rtx="1.7.1.116")
    with pytest.raises(NoGpuError) as caught:
        select("tensorrt")
    assert caught.value.message == "a GPU is needed to build with tensorrt, and CUDA finds none here"
    assert "tensorrt-rtx builds engines without a GPU" in caught.value.hint
    assert 'python -m pip install "trtforge[rtx]"' in caught.value.hint
    here(tensorrt="11.4.0")
    with pytest.raises(NoGpuError, match=r"tensorrt 11.4.0 needs a GPU to build, and there is none"):
        select()


def test_nothing_installed_says_what_to_install(here):
    here()
    with pytest.raises(MissingExtraError, match=r'tensorrt_rtx is needed.*\n.*pip install "trtforge\[rtx\]"'):
        select()
    here(gpus=(H200,))
    with pytest.raises(MissingExtraError, match=r'pip install "trtforge\[tensorrt\]"'):
        select("tensorrt")
    with pytest.raises(
        ConfigError, match="flavor 'openvino' is unknown; choose 'tensorrt' or 'tensorrt_rtx'"
    ):
        select("openvino")


def test_a_plan_is_only_given_to_the_version_that_wrote_it(here):
    here(tensorrt="10.16.1", gpus=(H200,))
    assert repr(flavor_to_load("tensorrt", "10.16.1")) == "V10('10.16.1')"
    with pytest.raises(EngineIncompatibleError) as caught:
        flavor_to_load("tensorrt", "8.6.0")
    assert (caught.value.have, caught.value.want) == ("tensorrt 10.16.1", "tensorrt 8.6.0")
    here()
    with pytest.raises(
        EngineIncompatibleError, match=r"built by tensorrt 8.6.0, this machine has no TensorRT"
    ):
        flavor_to_load("tensorrt", "8.6.0")


def test_where_engines_run():
    rtx = Rtx("1.7.1.116")
    assert rtx.built_for(()) == ("8.0", "8.6", "8.9", "12.0+")
    runs = {
        arch: rtx.runs_on(arch, rtx.built_for(())) for arch in ("7.5", "8.6", "9.0", "10.0", "12.0", "12.1")
    }
    assert runs == {"7.5": False, "8.6": True, "9.0": False, "10.0": False, "12.0": True, "12.1": True}
    assert rtx.runs_on("7.5", ("7.5",))
    tensorrt = Flavor("11.4.0")
    assert tensorrt.runs_on("9.0", ("9.0",))
    assert not tensorrt.runs_on("8.9", ("9.0",))


class _Names:
    """A stand-in for the vendor's module: every attribute is its own dotted name."""

    def __init__(self, path=""):
        self.path = path

    def __getattr__(self, name):
        return _Names(f"{self.path}.{name}".lstrip("."))

    def __int__(self):
        return 0


@pytest.mark.parametrize(
    ("version", "precision", "flags"),
    [
        ("8.6.0", "int8", ["BuilderFlag.FP16", "BuilderFlag.INT8"]),
        ("8.6.0", "float16", ["BuilderFlag.FP16"]),
        ("8.6.0", "float32", []),
        ("10.16.1", "int8", ["BuilderFlag.FP16", "BuilderFlag.INT8"]),
        ("11.4.0", "int8", []),
    ],
)
def test_precision_flags(version, precision, flags):
    class Config:
        def __init__(self):
            self.flags = []

        def set_flag(self, flag):
            self.flags.append(flag.path)

    config = Config()
    flavor_for("tensorrt", version).set_precision(_Names(), config, precision)
    assert config.flags == flags


def test_only_8_asks_for_an_explicit_batch():
    bits = {
        version: flavor_for("tensorrt", version).network_flags(_Names())
        for version in ("8.6.0", "10.1", "11.0")
    }
    assert bits == {"8.6.0": 1, "10.1": 0, "11.0": 0}


def test_only_rtx_builds_for_named_compute_capabilities():
    with pytest.raises(
        ConfigError, match=r"compute_capabilities=\('8.9',\): tensorrt 8.6.0 builds only for the GPU"
    ):
        flavor_for("tensorrt", "8.6.0").set_compute_capabilities(_Names(), None, ("8.9",))


def test_contexts_of_8_6_are_let_share_a_profile():
    calls = []
    trt = SimpleNamespace(PreviewFeature=SimpleNamespace(PROFILE_SHARING_0806="sharing"))
    config = SimpleNamespace(set_preview_feature=lambda *values: calls.append(values))
    for library, version in (("tensorrt", "10.16.1"), ("tensorrt", "11.4.0"), ("tensorrt_rtx", "1.7.1")):
        flavor_for(library, version).share_profiles(trt, config)
    assert calls == []
    flavor_for("tensorrt", "8.6.0").share_profiles(trt, config)
    assert calls == [("sharing", True)]
