"""What is checked before an engine is run, and noted while it does."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import get_args

import numpy as np

from trtforge.engine.artifact import Engine
from trtforge.engine.manifest import Manifest
from trtforge.errors import ConfigError, DeviceLostError, EngineIntegrityError, ExecutionError
from trtforge.nvidia.execution import LoadedEngine
from trtforge.nvidia.plugins import Plugin
from trtforge.profiles import OptimizationProfile
from trtforge.runtime.nonfinite import OnNonfinite

# Libraries for the engines that were built with them, where a program cannot name them itself.
PLUGINS_VARIABLE = "TRTFORGE_PLUGINS"


def check_settings(max_contexts: int, cuda_graphs: int, on_nonfinite: str) -> None:
    """Raise ConfigError where a setting of `Session` is out of range."""
    if max_contexts < 1:
        raise ConfigError(f"max_contexts must be 1 or more, got {max_contexts}", settings=("max_contexts",))
    if cuda_graphs < 0:
        raise ConfigError(f"cuda_graphs must be 0 or more, got {cuda_graphs}", settings=("cuda_graphs",))
    if on_nonfinite not in get_args(OnNonfinite):
        raise ConfigError(
            f"on_nonfinite must be one of {get_args(OnNonfinite)}, got {on_nonfinite!r}",
            settings=("on_nonfinite",),
        )


def plugins_for(manifest: Manifest, plugins: Sequence[str | os.PathLike[str] | Plugin]) -> tuple[Plugin, ...]:
    """Return the plugins to load, held to the digests that the engine was built with where none is stated.

    What the engine was built with and ``plugins`` does not name is looked for, by its file name, among the
    paths in the environment's ``TRTFORGE_PLUGINS``, separated as in ``PATH``.

    Raises
    ------
    ConfigError : they are no sequence, or a path is not absolute.
    """
    if isinstance(plugins, str | os.PathLike | Plugin):
        raise ConfigError(f"plugins must be a tuple of paths, got {plugins!r}", settings=("plugins",))
    wanted = [plugin if isinstance(plugin, Plugin) else Plugin(plugin) for plugin in plugins]
    built_with = manifest.plugins_sha256
    missing = built_with.keys() - {plugin.name for plugin in wanted}
    at_hand = (Plugin(path) for path in os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep) if path)
    wanted += [plugin for plugin in at_hand if plugin.name in missing]
    return tuple(Plugin(plugin.path, plugin.sha256 or built_with.get(plugin.name)) for plugin in wanted)


def check_outputs(outputs: str, on_nonfinite: str) -> None:
    """Raise ConfigError unless ``outputs`` is ``device``, and nothing is asked of values that stay there."""
    if outputs != "device":
        raise ConfigError(f"outputs must be 'numpy' or 'device', got {outputs!r}", settings=("outputs",))
    if on_nonfinite != "pass":
        raise ConfigError(
            f"on_nonfinite={on_nonfinite!r} is checked on the host, where outputs='device' gives nothing",
            hint="take the outputs as NumPy arrays, or set on_nonfinite='pass'",
            settings=("on_nonfinite", "outputs"),
        )


def is_known(dtype: str) -> bool:
    """Say whether NumPy has a type of this name."""
    try:
        np.dtype(dtype)
    except TypeError:
        return False
    return True


def check_tensors(engine: Engine, loaded: LoadedEngine) -> None:
    """Check that a session can feed the engine, and that it is the one of the manifest.

    Raises
    ------
    EngineIntegrityError : the plan's tensors are not those of the manifest.
    ConfigError : a profile lacks the values of an input that decides shapes by them, or a tensor has a type
        that NumPy lacks.
    """
    manifest = engine.manifest
    declared = {spec.name: spec.dtype for spec in (*manifest.inputs, *manifest.outputs)}
    found = {spec.name: spec.dtype for spec in (*loaded.inputs, *loaded.outputs)}
    if declared != found:
        raise EngineIntegrityError(f"the plan's tensors are {found}, its manifest says {declared}")
    by_value = set(loaded.shape_inputs)
    profiles = manifest.profiles or (OptimizationProfile({}),)
    if any(by_value - profile.values.keys() for profile in profiles):
        raise ConfigError(
            f"inputs {sorted(by_value)} decide shapes by their values, and a profile lacks ranges of them",
            hint="build the engine with OptimizationProfile(shapes, values)",
        )
    for spec in (*manifest.inputs, *manifest.outputs):
        if not is_known(spec.dtype):
            raise ConfigError(
                f"tensor {spec} has a type that NumPy lacks", hint="cast it in the network, to float32 say"
            )


class LossNote:
    """A context that notes the loss of the GPU, for good."""

    def __init__(self) -> None:
        self.lost: DeviceLostError | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, DeviceLostError):
            self.lost = error


class Callbacks:
    """Knows which threads are inside a session's own callbacks, whose end `Session.close` waits for."""

    def __init__(self) -> None:
        self._here = threading.local()

    def note_thread(self) -> None:
        """Note that all that the calling thread ever runs is a callback of the session."""
        self._here.belongs = True

    def call(self, callback: Callable[..., object], *arguments: object) -> None:
        """Call a callback."""
        self._here.depth = getattr(self._here, "depth", 0) + 1
        try:
            callback(*arguments)
        finally:
            self._here.depth -= 1

    def check_outside(self) -> None:
        """Raise ExecutionError where the calling thread is inside a callback."""
        if getattr(self._here, "belongs", False) or getattr(self._here, "depth", 0):
            raise ExecutionError(
                "a session cannot be closed from its own callbacks, whose end it waits for",
                hint="close it in the thread that made it",
            )
