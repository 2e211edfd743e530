from types import SimpleNamespace

import pytest

from trtforge._files import sha256
from trtforge.errors import ConfigError, PluginMissingError
from trtforge.nvidia import plugins
from trtforge.nvidia.log import VendorLog
from trtforge.nvidia.plugins import Plugin, checked_plugin, load_plugins, register_own_plugins
from trtforge.nvidia.selection import flavor_for

V8 = flavor_for("tensorrt", "8.6.0")


class Registry:
    def __init__(self, gives="handle"):
        self.gives, self.loaded = gives, []

    def load_library(self, path):
        self.loaded.append(path)
        if isinstance(self.gives, Exception):
            raise self.gives
        return self.gives


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.setattr(plugins, "_LOADED", {})
    monkeypatch.setattr(plugins, "_OWN", set())


def library(tmp_path, content=b"code"):
    path = tmp_path / "libops.so"
    path.write_bytes(content)
    return path


def load(registry, *wanted, log=None):
    load_plugins(V8, SimpleNamespace(get_plugin_registry=lambda: registry), wanted, log or VendorLog())


def test_the_librarys_own_plugins_are_registered_once_a_process():
    told = []
    trt = SimpleNamespace(init_libnvinfer_plugins=lambda *arguments: told.append(arguments))
    register_own_plugins(trt, "logger")
    register_own_plugins(trt, "logger")
    assert told == [("logger", "")]


def test_a_plugin_is_loaded_once_a_process_by_its_whole_path(tmp_path):
    path, registry = library(tmp_path), Registry()
    load(registry, Plugin(path, sha256(b"code")))
    load(registry, Plugin(path))
    assert registry.loaded == [str(path)]
    assert checked_plugin(Plugin(path)) == Plugin(path, sha256(b"code"))
    path.write_bytes(b"other code")
    with pytest.raises(ConfigError, match="changed since this process loaded it"):
        load(registry, Plugin(path))


def test_another_digest_is_refused_before_anything_is_loaded(tmp_path):
    registry = Registry()
    with pytest.raises(ConfigError, match=r"has SHA-256 [0-9a-f]{12}, aaaaaaaaaaaa was asked for"):
        load(registry, Plugin(library(tmp_path), "A" * 64))
    with pytest.raises(PluginMissingError, match="no plugin library at"):
        load(registry, Plugin(tmp_path / "missing.so"))
    assert registry.loaded == []


@pytest.mark.parametrize(
    ("gives", "reason"), [(None, "undefined symbol: f"), (RuntimeError("no such symbol"), "no such symbol")]
)
def test_what_the_library_says_is_in_the_error(tmp_path, gives, reason):
    log = VendorLog(errors=["undefined symbol: f"])
    with pytest.raises(PluginMissingError, match=rf"libops.so cannot be loaded: {reason}"):
        load(Registry(gives), Plugin(library(tmp_path)), log=log)
    assert plugins._LOADED == {}


@pytest.mark.parametrize(
    ("path", "digest", "message"),
    [
        ("libops.so", None, "wants absolute paths, got 'libops.so'"),
        ("/libops.so", "12", "64 hexadecimal digits"),
    ],
)
def test_a_plugin_needs_an_absolute_path_and_a_whole_digest(path, digest, message):
    with pytest.raises(ConfigError, match=message):
        Plugin(path, digest)
