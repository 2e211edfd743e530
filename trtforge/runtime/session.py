"""Run an engine on a GPU."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any, Literal, TypeAlias, overload

from numpy.typing import NDArray

from trtforge._closing import Closing
from trtforge.engine.artifact import Engine, check_runs_here
from trtforge.errors import (
    ConfigError,
    DeviceLostError,
    ExecutionError,
    OutOfMemoryError,
    TrtforgeError,
)
from trtforge.model import TensorSpec
from trtforge.nvidia import gpus, require_gpu
from trtforge.nvidia.cuda import free_memory_bytes, set_device
from trtforge.nvidia.execution import LoadedEngine
from trtforge.nvidia.plugins import Plugin
from trtforge.profiles import OptimizationProfile
from trtforge.runtime.acceptance import Acceptance, Inputs
from trtforge.runtime.counts import Counts
from trtforge.runtime.device_array import DeviceArray, DeviceMemory
from trtforge.runtime.inputs import check_numbers
from trtforge.runtime.lane import Lane
from trtforge.runtime.lanes import Lanes
from trtforge.runtime.nonfinite import OnNonfinite, check_finite
from trtforge.runtime.session_checks import (
    Callbacks,
    LossNote,
    check_outputs,
    check_settings,
    check_tensors,
    plugins_for,
)
from trtforge.runtime.usage import LayerTime, SessionMemory

Where: TypeAlias = Literal["numpy", "device"]

_INSTEAD = "run the network that the engine was built from with OnnxRunner, which needs no GPU"


class Session(Closing):
    """An engine on a GPU; call it, or `run`, with named arrays.

    Threads may share a session. Each call leases an execution context, which has a stream, buffers, scratch
    memory and CUDA graphs of its own; calls beyond ``max_contexts`` wait in the order they came. `close`, or
    ``with``, waits for the calls under way and gives everything back to the GPU.

    Parameters
    ----------
    engine : the engine, or the path it was saved to.
    device : CUDA device ordinal.
    max_contexts : most calls that run at once, 1 or more. What each needs is made when it is first needed: an
        execution context for each optimization profile used, and scratch memory for all of them (`memory`
        says how much).
    cuda_graphs : most CUDA graphs kept for each of these, 0 for none. A call whose shapes and addresses come
        again is recorded, and from then on launched at once.
    on_nonfinite : what to do where an output given as NumPy array holds NaN or infinity: ``pass`` it on,
        ``raise`` ExecutionError, or ``mask`` by 0 and count in `counts`.
    plugins : shared libraries with custom operators that the engine needs, as `BuildConfig` takes them; where
        no digest is stated, that of the build holds. Those of the build that are not named are looked for
        among the paths in the environment's ``TRTFORGE_PLUGINS``.

    Attributes
    ----------
    on_inference : None, or what is called after each inference with the time that it took the GPU, in
        milliseconds between CUDA events, and the index of its profile, None where the engine has none.

    Raises
    ------
    ConfigError : a setting is out of range, or a tensor is of a kind that sessions do not serve.
    NoGpuError : there is no such GPU; nothing of NVIDIA's was touched.
    EngineIntegrityError : the files are not what was written, or the plan is not what its manifest says.
    EngineIncompatibleError : the engine is for another library version, system or GPU.
    PluginMissingError : the engine needs a plugin that is not registered, or one of ``plugins`` is no such.
    EngineError : the library refuses the engine.
    OutOfMemoryError : the GPU has no room for it.
    """

    def __init__(
        self,
        engine: Engine | str | os.PathLike[str],
        *,
        device: int = 0,
        max_contexts: int = 4,
        cuda_graphs: int = 0,
        on_nonfinite: OnNonfinite = "pass",
        plugins: Sequence[str | os.PathLike[str] | Plugin] = (),
    ) -> None:
        check_settings(max_contexts, cuda_graphs, on_nonfinite)
        require_gpu("run an engine", device=device, instead=_INSTEAD)
        self.engine = engine if isinstance(engine, Engine) else Engine.load(engine)
        flavor = check_runs_here(self.engine.manifest, device=device)
        self.device, self._max_graphs, self._on_nonfinite = device, cuda_graphs, on_nonfinite
        # Where there is but one GPU, a thread that was put on it once stays there.
        self._has_other_gpus, self._here = len(gpus()) > 1, threading.local()
        self.on_inference: Callable[[float, int | None], None] | None = None
        self._counts = Counts()
        self._noting_loss, self._callbacks = LossNote(), Callbacks()
        self._closing, self._is_closed = threading.Lock(), False
        self._executor: ThreadPoolExecutor | None = None
        self._lanes = Lanes(self._new_lane, max_contexts, self._counts, self._noting_loss)
        set_device(device)
        free_before = free_memory_bytes()
        with ExitStack() as stack:
            wanted = plugins_for(self.engine.manifest, plugins)
            plan = self.engine.plan
            self._loaded = stack.enter_context(LoadedEngine(flavor, plan, device=device, plugins=wanted))
            self._engine_bytes = max(0, free_before - free_memory_bytes())
            check_tensors(self.engine, self._loaded)
            self._accepts = Acceptance(
                self.inputs,
                self.profiles,
                device=device,
                narrow_int64=not flavor.has_int64,
                counts=self._counts,
                by_value=self._loaded.shape_inputs,
            )
            self._memory = DeviceMemory(device)
            stack.callback(self._memory.close)
            stack.callback(self._lanes.close)
            # The first context is made now, so that an engine without room for it is refused here.
            self._lanes.release(self._lanes.acquire())
            self._resources = stack.pop_all()

    def __call__(self, arrays: Inputs) -> dict[str, NDArray[Any]]:
        """Do as `run` does."""
        return self.run(arrays)

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

    @property
    def alive(self) -> bool:
        """Whether calls can succeed: the session is open and the GPU was not lost."""
        return not self._is_closed and self._noting_loss.lost is None

    @property
    def counts(self) -> dict[str, int]:
        """What happened beside running.

        ``layout_copies`` of inputs in another layout or at odd addresses, ``masked_values`` of outputs,
        ``memory_retries`` after memory ran out, and ``graph_replays``, the calls that a CUDA graph ran.
        """
        return {**self._counts.snapshot(), "graph_replays": self._lanes.num_replays}

    @overload
    def run(self, arrays: Inputs, *, graph: bool = True) -> dict[str, NDArray[Any]]: ...

    @overload
    def run(
        self, arrays: Inputs, *, outputs: Literal["numpy"], graph: bool = True
    ) -> dict[str, NDArray[Any]]: ...

    @overload
    def run(
        self, arrays: Inputs, *, outputs: Literal["device"], graph: bool = True
    ) -> dict[str, DeviceArray]: ...

    @overload
    def run(self, arrays: Inputs, *, outputs: Where, graph: bool = True) -> dict[str, Any]: ...

    def run(self, arrays: Inputs, *, outputs: Where = "numpy", graph: bool = True) -> dict[str, Any]:
        """Run the engine once and wait for it.

        Parameters
        ----------
        arrays : input name to array, of the dtypes in `inputs` and shapes in one of `profiles`. NumPy arrays,
            and arrays of other libraries that speak DLPack or the CUDA array interface; these are read where
            they lie, after the work that their library has queued on them.
        outputs : ``numpy``, or ``device`` to leave the outputs on the GPU.
        graph : whether the call may be recorded as a CUDA graph, where the session keeps any. A recording
            takes as long as many calls, and is lost on one whose addresses come again by chance.

        Returns
        -------
        Output name to array, which the caller owns: NumPy's, or `DeviceArray`.

        Raises
        ------
        InputError : a name, dtype, device or fixed size does not fit.
        ProfileError : a shape lies outside every profile; the message names axis, size and ranges.
        OutOfMemoryError : the GPU had no memory left, even after idle contexts were given back; the session
            can be used again.
        DeviceLostError : the CUDA context is corrupt, and the process must end; later calls fail at once.
        ExecutionError : the engine did not run, gave values that ``on_nonfinite`` refuses, or the session is
            closed.
        """
        to_host = outputs == "numpy"
        if not to_host:
            check_outputs(outputs, self._on_nonfinite)
        if self._noting_loss.lost is not None:
            self._check_not_lost()
        given = self._accepts.checked(arrays)
        try:
            results = self._run_leased(given, to_host, graph)
        except OutOfMemoryError:
            self._counts.add(memory_retries=1)
            with self._noting_loss:
                self.free_idle()
                results = self._run_leased(given, to_host, graph)
        except DeviceLostError as error:
            self._noting_loss.lost = error
            raise
        if to_host and self._on_nonfinite != "pass":
            masked = check_finite(results, self._on_nonfinite)
            if masked:
                self._counts.add(masked_values=masked)
        return results

    def submit(self, arrays: Inputs, *, outputs: Where = "numpy") -> Future[dict[str, Any]]:
        """Run the engine in another thread.

        As many calls run at a time as there may be contexts; the others wait in order. The arrays must not
        be changed until the future is done.

        Parameters
        ----------
        arrays, outputs : as for `run`.

        Returns
        -------
        A future of what `run` returns or raises.

        Raises
        ------
        ExecutionError : the session is closed.
        """
        with self._closing:
            if self._is_closed:
                raise ExecutionError("the session is closed", hint="make another Session")
            if self._executor is None:
                workers = self._lanes.max_size
                begin = self._callbacks.note_thread
                self._executor = ThreadPoolExecutor(workers, "trtforge-session", initializer=begin)
            return self._executor.submit(self.run, arrays, outputs=outputs)

    def to_device(self, array: NDArray[Any]) -> DeviceArray:
        """Return a copy of an array on the session's GPU, to be fed to `run` any number of times.

        Raises
        ------
        InputError : it is no NumPy array of numbers.
        OutOfMemoryError : the GPU has no room for it.
        """
        check_numbers(array)
        set_device(self.device)
        return self._memory.send(array)

    def profile(self, arrays: Inputs, repeats: int = 10) -> tuple[LayerTime, ...]:
        """Time every layer, in a context that is given back afterwards.

        Parameters
        ----------
        arrays : as for `run`.
        repeats : inferences to average over, after two that are not counted.

        Returns
        -------
        Name and mean time of each layer, in the order of execution. They add up to more than an inference
        takes, as nothing overlaps while layers are timed.

        Raises
        ------
        ConfigError : ``repeats`` is below 1.
        InputError, ProfileError, OutOfMemoryError, DeviceLostError, ExecutionError : as for `run`.
        """
        if repeats < 1:
            raise ConfigError(f"repeats must be 1 or more, got {repeats}", settings=("repeats",))
        self._check_not_lost()
        given = self._accepts.checked(arrays)
        with self._noting_loss:
            lane = self._lanes.lease()
            try:
                set_device(self.device)
                times = lane.time_layers(given, self._accepts.choose, repeats)
            except BaseException as error:
                with self._noting_loss:  # before the lane is discarded, which a lost GPU would refuse
                    lane.recover(error)
                    raise
            finally:
                self._lanes.discard(lane)
        return tuple(LayerTime(name, ms) for name, ms in times.items())

    def memory(self) -> SessionMemory:
        """Return the memory that the session holds now, by kind."""
        lanes = self._lanes.alive
        num_contexts = sum(lane.num_contexts for lane in lanes)
        return SessionMemory(
            engine_bytes=0 if self._is_closed else self._engine_bytes,
            scratch_bytes=sum(lane.scratch_bytes for lane in lanes),
            tensor_bytes=sum(lane.device_bytes for lane in lanes)
            + self._memory.lent_bytes
            + self._memory.idle_bytes,
            pinned_bytes=sum(lane.pinned_bytes for lane in lanes),
            num_contexts=num_contexts,
        )

    def free_idle(self) -> int:
        """Give back the contexts that no call uses now, with their buffers and graphs; return how many.

        They are made again when they are needed.
        """
        set_device(self.device)
        freed = self._lanes.free_idle()
        self._memory.free_idle()
        return freed

    def close(self) -> None:
        """Give everything back to the GPU once the calls under way have ended; closing twice does nothing.

        Calls that were submitted are run before; calls that wait for a context are refused.

        Raises
        ------
        ExecutionError : it is called from ``on_inference`` or a future's callback; the session stays open.
        """
        self._callbacks.check_outside()
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
            executor = self._executor
        if executor is not None:
            executor.shutdown(wait=True)
        if self._noting_loss.lost is None:
            set_device(self.device)
            self._resources.close()
        else:  # nothing can be given back to a GPU that is lost
            with suppress(TrtforgeError):
                self._resources.close()

    def _check_not_lost(self) -> None:
        lost = self._noting_loss.lost
        if lost is not None:
            raise DeviceLostError(f"the GPU was lost in an earlier call: {lost.message}", hint=lost.hint)

    def _run_leased(self, given: Mapping[str, Any], to_host: bool, graph: bool) -> dict[str, Any]:
        lane = self._lanes.lease()
        try:
            if self._has_other_gpus or not hasattr(self._here, "is_set"):
                set_device(self.device)
                self._here.is_set = True
            tell = self.on_inference
            if tell is None:
                return lane.run(given, self._accepts.choose, to_host=to_host, graph=graph)
            results = lane.run(given, self._accepts.choose, to_host=to_host, timed=True, graph=graph)
            self._callbacks.call(tell, lane.inference_ms, lane.profile)
            return results
        except BaseException as error:
            lane.recover(error)
            raise
        finally:
            self._lanes.release(lane)

    def _new_lane(self) -> Lane:
        set_device(self.device)
        return Lane(
            self._loaded,
            self.inputs,
            self.outputs,
            self._memory,
            device=self.device,
            max_graphs=self._max_graphs,
            counts=self._counts,
            has_profiles=bool(self.profiles),
            by_value=self._loaded.shape_inputs,
        )
