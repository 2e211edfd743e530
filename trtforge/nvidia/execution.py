"""A deserialized plan on a GPU and the contexts that run it, with every vendor call checked."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from trtforge._closing import Closing
from trtforge.errors import (
    DeviceLostError,
    EngineError,
    ExecutionError,
    OutOfMemoryError,
    ProfileError,
    TrtforgeError,
)
from trtforge.model import TensorSpec
from trtforge.nvidia.building import axes, dtype_name
from trtforge.nvidia.cuda import check_last_error, set_device
from trtforge.nvidia.flavor import Flavor
from trtforge.nvidia.layer_times import LayerTimer
from trtforge.nvidia.layers import EngineLayer, layers_from_inspector
from trtforge.nvidia.log import VendorLog, heard, listen, logger_of, own_log
from trtforge.nvidia.output_allocator import GrowingOutput
from trtforge.nvidia.plugins import Plugin, load_plugins, register_own_plugins


class ProfileInUseError(ExecutionError):
    """Another context holds the optimization profile, and the engine does not let them share it."""


class LoadedEngine(Closing):
    """A plan that the library has accepted.

    Host code inside plans stays refused, as is the library's default. The caller has verified the bytes.

    Parameters
    ----------
    flavor : the library that wrote the plan.
    plan : the serialized engine.
    device : CUDA device ordinal.
    plugins : shared libraries with custom operators that the plan needs.

    Raises
    ------
    NoGpuError : there is no such GPU; asked before the library is touched.
    PluginMissingError : the plan needs a plugin that is not registered, or a plugin cannot be loaded.
    ConfigError : a plugin has another digest than was stated.
    EngineError : the library refuses the plan; the message carries its own reason.
    """

    def __init__(
        self, flavor: Flavor, plan: bytes, *, device: int = 0, plugins: Sequence[Plugin] = ()
    ) -> None:
        flavor.require_gpu("run an engine", device=device)
        set_device(device)
        trt, log = flavor.module(), listen()
        logger = logger_of(trt)
        self._making = threading.Lock()
        self.trt, self._flavor = trt, flavor
        self._runtime = trt.Runtime(logger)
        register_own_plugins(trt, logger)
        load_plugins(flavor, trt, plugins, log)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            log.raise_missing_plugin()
            _raise_if_out_of_memory(log, "load the engine")
            raise EngineError(f"{flavor} refuses the engine: {log.reason}", hint=log.hint)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The engine's inputs; a dynamic axis is ``?``."""
        return self._tensors(self.trt.TensorIOMode.INPUT)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The engine's outputs; a dynamic axis is ``?``."""
        return self._tensors(self.trt.TensorIOMode.OUTPUT)

    @property
    def shape_inputs(self) -> tuple[str, ...]:
        """Inputs whose values decide shapes, and which the library therefore reads on the host."""
        return tuple(spec.name for spec in self.inputs if self._engine.is_shape_inference_io(spec.name))

    def layers(self) -> tuple[EngineLayer, ...] | None:
        """Read the layers with the types that they run in, or None if the plan does not say.

        Of a plan with dynamic axes TensorRT 8.6 tells formats only for given shapes: those that the first
        profile is tuned for.
        """
        inspector = self._engine.create_engine_inspector()
        context = None
        if not self.shape_inputs and any("?" in spec.shape for spec in self.inputs):
            context = self._engine.create_execution_context()
            if context is None:
                return None
            for spec in self.inputs:
                _, tuned, _ = self._engine.get_tensor_profile_shape(spec.name, 0)
                context.set_input_shape(spec.name, tuple(tuned))
            inspector.execution_context = context
        form = self.trt.LayerInformationFormat.JSON
        told = inspector.get_engine_information(form)
        if not told and context is not None:
            # It has nothing to tell of some engines for given shapes.
            told = self._engine.create_engine_inspector().get_engine_information(form)
        return layers_from_inspector(told) if told else None

    def new_context(self, scratch: int = 0) -> Context:
        """Make an execution context.

        Parameters
        ----------
        scratch : address of `scratch_bytes` of GPU memory, which contexts may share that never run at once;
            0 for memory of the context's own.

        Raises
        ------
        OutOfMemoryError : the GPU has no room for it.
        """
        with self._making:
            log = listen()
            context = self._sharing(scratch) if scratch else self._engine.create_execution_context()
        if context is None:
            _raise_if_lost("make an execution context")
            raise OutOfMemoryError(
                f"no execution context could be made: {log.reason}",
                hint="close idle sessions, or build with smaller profiles",
            )
        return Context(self.trt, context)

    @property
    def scratch_bytes(self) -> int:
        """Memory for activations that a context needs while it runs, in bytes."""
        engine = self._engine
        newer = getattr(engine, "device_memory_size_v2", None)
        return int(engine.device_memory_size if newer is None else newer)

    def close(self) -> None:
        """Release the engine and the runtime; contexts must be closed first."""
        self._engine = None
        self._runtime = None

    def _sharing(self, scratch: int) -> Any:
        if self._flavor.has_allocation_strategies:
            strategy = self.trt.ExecutionContextAllocationStrategy.USER_MANAGED
            _context = self._engine.create_execution_context(strategy)
            if _context is not None:
                _context.set_device_memory(scratch, self.scratch_bytes)
        else:
            _context = self._engine.create_execution_context_without_device_memory()
            if _context is not None:
                _context.device_memory = scratch
        return _context

    def _tensors(self, mode: Any) -> tuple[TensorSpec, ...]:
        engine = self._engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        return tuple(
            TensorSpec(name, dtype_name(engine.get_tensor_dtype(name)), axes(engine.get_tensor_shape(name)))
            for name in names
            if engine.get_tensor_mode(name) == mode
        )


class Context:
    """An execution context: the shapes and addresses of one inference at a time.

    Parameters
    ----------
    trt, context : the library and its context.
    """

    def __init__(self, trt: Any, context: Any) -> None:
        self._trt = trt
        self._context: Any = context
        self._profile = int(context.active_optimization_profile)
        self._addresses: dict[str, int] = {}
        self._listeners: list[Any] = []

    @property
    def native(self) -> Any:
        """The library's own context, for what is not offered here; None once this is closed."""
        return self._context

    def use_profile(self, index: int, stream: int) -> bool:
        """Switch to an optimization profile; return whether that changed anything.

        Raises
        ------
        ProfileInUseError : the library refuses, as it does where contexts of an engine cannot share one.
        """
        if index == self._profile:
            return False
        log = listen()
        if not self._context.set_optimization_profile_async(index, stream):
            _raise_if_lost(f"use profile {index}")
            raise ProfileInUseError(
                f"the engine could not use profile {index}: {log.reason}",
                hint="build the engine again, so that its contexts share profiles, or set max_contexts=1",
                settings=("max_contexts",),
            )
        self._profile = index
        self._addresses.clear()
        return True

    def set_shapes(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Set the shapes of the inputs.

        Raises
        ------
        ProfileError : the library refuses one.
        """
        log = listen()
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, tuple(shape)):
                raise ProfileError(f"input {name!r} of shape {tuple(shape)} was refused: {log.reason}")
        missing = self._context.infer_shapes()
        if missing:
            raise ExecutionError(f"the engine still lacks the shapes of {list(missing)}")

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape, once those of the inputs are set.

        Raises
        ------
        ExecutionError : the shape depends on the values of the inputs.
        """
        shape = self.known_shape_of(name)
        if shape is None:
            raise ExecutionError(
                f"the shape of output {name!r} depends on the data",
                hint="end the network before the operator that selects by value, and do that step in NumPy",
            )
        return shape

    def known_shape_of(self, name: str) -> tuple[int, ...] | None:
        """Return a tensor's shape, once those of the inputs are set; None where it depends on the data."""
        shape = tuple(int(size) for size in self._context.get_tensor_shape(name))
        return None if any(size < 0 for size in shape) else shape

    def most_bytes_of(self, name: str) -> int:
        """Return the most bytes that an output can take, once the shapes of the inputs are set."""
        return int(self._context.get_max_output_size(name))

    def set_address(self, name: str, address: int) -> None:
        """Tell where a tensor lies in GPU memory."""
        self.set_addresses({name: address})

    def set_host_values(self, name: str, address: int) -> None:
        """Tell where values lie that decide shapes, in host memory; again whenever they have changed."""
        self._addresses.pop(name, None)
        self.set_address(name, address)

    def set_addresses(self, addresses: Mapping[str, int]) -> None:
        """Tell where tensors lie in GPU memory."""
        known = self._addresses
        for name, address in addresses.items():
            if known.get(name) != address:
                known.pop(name, None)
                taken = self._context.set_tensor_address(name, address)
                self._checked(taken, f"take the address of {name!r}")
                known[name] = address

    def grow_output(self, name: str) -> GrowingOutput:
        """Give an output whose shape depends on the data memory that grows; the caller closes it."""
        output = GrowingOutput(self._trt, name)
        self._listeners.append(output.listener)
        taken = self._context.set_output_allocator(name, output.listener)
        self._checked(taken, f"take an allocator for {name!r}")
        return output

    def time_layers(self) -> LayerTimer:
        """Have the time of every layer reported from now on; the context is of no other use afterwards."""
        timer = LayerTimer(self._trt)
        self._listeners.append(timer.listener)
        self._context.profiler = timer.listener
        return timer

    def listen(self, listener: Any) -> None:
        """Have an ``IDebugListener`` called with every debug tensor of each inference."""
        self._checked(self._context.set_debug_listener(listener), "take a listener for its debug tensors")
        self._checked(self._context.set_all_tensors_debug_state(True), "show its debug tensors")

    def enqueue(self, stream: int) -> None:
        """Queue the inference on a stream.

        Raises
        ------
        DeviceLostError : the CUDA context is corrupt.
        OutOfMemoryError : the GPU had no memory left.
        ExecutionError : the library refused; the outputs hold nothing.
        """
        said = own_log()
        before = len(said.errors)
        if not self._context.execute_async_v3(stream):
            log = said.since(before)
            check_last_error("run the engine")
            _raise_if_out_of_memory(log, "run the engine")
            raise ExecutionError(f"the engine did not run: {log.reason}")

    def close(self) -> None:
        """Release the context, and then what it calls."""
        self._context = None
        self._listeners.clear()

    def _checked(self, succeeded: bool, doing: str) -> None:
        if not succeeded:
            raise ExecutionError(f"the engine could not {doing}: {heard().reason}")


def _raise_if_lost(doing: str) -> None:
    try:
        check_last_error(doing)
    except DeviceLostError:
        raise
    except TrtforgeError:
        pass  # the library's own reason says more


def _raise_if_out_of_memory(log: VendorLog, doing: str) -> None:
    if log.is_out_of_memory:
        raise OutOfMemoryError(f"no GPU memory left to {doing}: {log.reason}", hint="close idle sessions")
