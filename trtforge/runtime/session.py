"""Run an engine on a GPU."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.engine.artifact import Engine, check_runs_here
from trtforge.errors import ConfigError, EngineIntegrityError, ExecutionError
from trtforge.feeds import Arrays
from trtforge.model import TensorSpec
from trtforge.nvidia import require_gpu
from trtforge.nvidia.cuda import set_device
from trtforge.nvidia.execution import Context, LoadedEngine
from trtforge.profiles import OptimizationProfile, choose_profile
from trtforge.runtime.buffers import Tensors
from trtforge.runtime.inputs import check_inputs

_INSTEAD = "run the network that the engine was built from with OnnxRunner, which needs no GPU"


class Session:
    """An engine on a GPU; call it, or `run`, with named arrays.

    One context and one stream serve all threads, one call at a time. `close`, or ``with``, gives everything
    back to the GPU.

    Parameters
    ----------
    engine : the engine, or the path it was saved to.
    device : CUDA device ordinal.

    Raises
    ------
    NoGpuError : there is no such GPU; nothing of NVIDIA's was touched.
    EngineIntegrityError : the files are not what was written, or the plan is not what its manifest says.
    EngineIncompatibleError : the engine is for another library version, system or GPU.
    EngineError : the library refuses the engine.
    OutOfMemoryError : the GPU has no room for it.
    """

    def __init__(self, engine: Engine | str | os.PathLike[str], *, device: int = 0) -> None:
        require_gpu("run an engine", device=device, instead=_INSTEAD)
        self.engine = engine if isinstance(engine, Engine) else Engine.load(engine)
        flavor = check_runs_here(self.engine.manifest, device=device)
        self.device = device
        self._lock = threading.Lock()
        self._narrow_int64 = not flavor.has_int64
        with ExitStack() as stack:
            self._loaded = stack.enter_context(LoadedEngine(flavor, self.engine.plan, device=device))
            _check_tensors(self.engine, self._loaded)
            self._context: Context | None = self._loaded.new_context()
            stack.callback(self._context.close)
            self._tensors = stack.enter_context(Tensors())
            self._resources = stack.pop_all()

    def __call__(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """Do as `run` does."""
        return self.run(arrays)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The engine's inputs."""
        return self.engine.manifest.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The engine's outputs."""
        return self.engine.manifest.outputs

    @property
    def profiles(self) -> tuple[OptimizationProfile, ...]:
        """The shapes that the engine accepts."""
        return self.engine.manifest.profiles

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """Run the engine once and wait for it.

        Parameters
        ----------
        arrays : input name to array, of the dtypes in `inputs` and shapes in one of `profiles`.

        Returns
        -------
        Output name to array, which the caller owns.

        Raises
        ------
        InputError : a name, dtype or fixed size does not fit.
        ProfileError : a shape lies outside every profile; the message names axis, size and ranges.
        OutOfMemoryError : the GPU had no memory left; the session can be used again.
        DeviceLostError : the CUDA context is corrupt, and the process must end.
        ExecutionError : the engine did not run, or the session is closed.
        """
        checked = check_inputs(self.inputs, arrays, narrow_int64=self._narrow_int64)
        shapes = {name: array.shape for name, array in checked.items()}
        profile = choose_profile(self.profiles, shapes)
        with self._lock:
            if self._context is None:
                raise ExecutionError("the session is closed", hint="make another Session")
            set_device(self.device)
            try:
                return self._run(self._context, checked, profile)
            except BaseException:
                self._tensors.stream.synchronize()  # copies that are under way must not meet the next call's
                raise

    def _run(self, context: Context, arrays: Arrays, profile: int) -> dict[str, NDArray[Any]]:
        tensors = self._tensors
        if context.use_profile(profile, tensors.stream.handle):
            tensors.stream.synchronize()
        context.set_shapes({name: array.shape for name, array in arrays.items()})
        for name, array in arrays.items():
            context.set_address(name, tensors.send(name, array))
        shapes = {spec.name: context.shape_of(spec.name) for spec in self.outputs}
        for spec in self.outputs:
            context.set_address(
                spec.name, tensors.reserve(spec.name, shapes[spec.name], np.dtype(spec.dtype))
            )
        context.enqueue(tensors.stream.handle)
        return tensors.fetch({spec.name: (shapes[spec.name], np.dtype(spec.dtype)) for spec in self.outputs})

    def close(self) -> None:
        """Give everything back to the GPU, once a running call has ended; closing twice does nothing."""
        with self._lock:
            if self._context is not None:
                self._context = None
                set_device(self.device)
                self._resources.close()


def _check_tensors(engine: Engine, loaded: LoadedEngine) -> None:
    manifest = engine.manifest
    declared = {spec.name: spec.dtype for spec in (*manifest.inputs, *manifest.outputs)}
    found = {spec.name: spec.dtype for spec in (*loaded.inputs, *loaded.outputs)}
    if declared != found:
        raise EngineIntegrityError(f"the plan's tensors are {found}, its manifest says {declared}")
    if loaded.shape_inputs:
        raise ConfigError(
            f"inputs {list(loaded.shape_inputs)} decide shapes by their values, which a session cannot feed",
            hint="make them constants of the network",
        )
    for spec in (*manifest.inputs, *manifest.outputs):
        try:
            np.dtype(spec.dtype)
        except TypeError:
            raise ConfigError(
                f"tensor {spec} has a type that NumPy lacks", hint="cast it in the network, to float32 say"
            ) from None
