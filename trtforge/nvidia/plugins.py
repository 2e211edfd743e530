"""Fill the vendor's registry of plugins, each once a process: its own, and those of shared libraries."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtforge._files import file_sha256
from trtforge.errors import ConfigError, PluginMissingError
from trtforge.nvidia.flavor import Flavor
from trtforge.nvidia.log import VendorLog

_LOCK = threading.Lock()
# Library and path to the digest that was loaded; a shared library cannot be exchanged in a running process.
_LOADED: dict[tuple[str, str], str] = {}
# Modules of a vendor, by identity, whose own plugins are registered.
_OWN: set[int] = set()


@dataclass(frozen=True)
class Plugin:
    """A shared library that holds custom operators.

    Parameters
    ----------
    path : absolute path of the file.
    sha256 : what its SHA-256 must be, in hexadecimal; None takes the file as it is found.

    Raises
    ------
    ConfigError : the path is not absolute, or the digest is none.
    """

    path: str | os.PathLike[str]
    sha256: str | None = None

    def __post_init__(self) -> None:
        if not Path(self.path).is_absolute():
            raise ConfigError(
                f"plugins wants absolute paths, got {os.fspath(self.path)!r}: a relative one would be looked "
                "for where the system looks for libraries",
                settings=("plugins",),
            )
        object.__setattr__(self, "path", Path(self.path))
        if self.sha256 is not None:
            digest = self.sha256.lower()
            if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
                raise ConfigError(
                    f"the SHA-256 of a plugin must have 64 hexadecimal digits, got {self.sha256!r}",
                    settings=("plugins",),
                )
            object.__setattr__(self, "sha256", digest)

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return Path(self.path).name


def checked_plugin(plugin: Plugin) -> Plugin:
    """Return the plugin with the digest of its file.

    Raises
    ------
    PluginMissingError : there is no such file.
    ConfigError : the file has another digest than was stated.
    """
    path = Path(plugin.path)
    if not path.is_file():
        raise PluginMissingError(
            f"no plugin library at {path}", hint="plugins wants paths of shared libraries"
        )
    found = file_sha256(path)
    if plugin.sha256 not in (None, found):
        raise ConfigError(
            f"the plugin library {path} has SHA-256 {found[:12]}, {str(plugin.sha256)[:12]} was asked for",
            hint="it is another build of the library; nothing of it was loaded",
            settings=("plugins",),
        )
    return Plugin(path, found)


def register_own_plugins(trt: Any, logger: Any) -> None:
    """Register the plugins that come with the library; an engine or a network that needs one is refused else.

    TensorRT 8.6 and 10 run some of ONNX's operators by them, InstanceNormalization for one.

    Parameters
    ----------
    trt : the library.
    logger : its ``ILogger``; what cannot be registered is told there, and again by whatever needs it.

    References
    ----------
    NVIDIA, TensorRT developer guide, "Extending TensorRT with Custom Layers" (``initLibNvInferPlugins``).
    """
    with _LOCK:
        if id(trt) not in _OWN:
            trt.init_libnvinfer_plugins(logger, "")
            _OWN.add(id(trt))


def load_plugins(flavor: Flavor, trt: Any, plugins: Sequence[Plugin], log: VendorLog) -> None:
    """Register the operators of shared libraries; they stay registered while the process lives.

    The file is opened by its path after its digest was taken: whoever can write to its folder can still
    exchange it in between.

    Parameters
    ----------
    flavor, trt : the library.
    plugins : what to load.
    log : where the vendor's own reason is found.

    Raises
    ------
    PluginMissingError : there is no such file, or it cannot be loaded.
    ConfigError : the file has another digest than was stated, or than when this process loaded it.
    """
    for plugin in map(checked_plugin, plugins):
        key = (flavor.name, str(Path(plugin.path).resolve()))
        with _LOCK:
            if _LOADED.get(key) == plugin.sha256:
                continue
            if key in _LOADED:
                raise ConfigError(
                    f"the plugin library {plugin.path} changed since this process loaded it",
                    hint="start a new process",
                    settings=("plugins",),
                )
            try:
                handle = trt.get_plugin_registry().load_library(os.fspath(plugin.path))
            except Exception as error:  # the bindings raise several kinds
                raise _not_loaded(plugin, str(error)) from error
            if handle is None:
                raise _not_loaded(plugin, log.reason)
            _LOADED[key] = str(plugin.sha256)


def _not_loaded(plugin: Plugin, reason: str) -> PluginMissingError:
    return PluginMissingError(
        f"the plugin library {plugin.path} cannot be loaded: {reason}",
        hint="it must be built for this version of the library, and find the libraries that it needs itself",
    )
