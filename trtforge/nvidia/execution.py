"""A deserialized plan on a GPU and one context to run it, with every vendor call checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trtforge.errors import EngineError, ExecutionError, OutOfMemoryError, ProfileError
from trtforge.model import TensorSpec
from trtforge.nvidia.building import axes, dtype_name
from trtforge.nvidia.cuda import check_last_error, set_device
from trtforge.nvidia.flavor import Flavor
from trtforge.nvidia.layers import count_from_inspector
from trtforge.nvidia.log import VendorLog, make_logger


class LoadedEngine:
    """A plan that the library has accepted.

    Host code inside plans stays refused, as is the library's default. The caller has verified the bytes.

    Parameters
    ----------
    flavor : the library that wrote the plan.
    plan : the serialized engine.
    device : CUDA device ordinal.

    Raises
    ------
    NoGpuError : there is no such GPU; asked before the library is touched.
    PluginMissingError : the plan needs a plugin that is not registered.
    EngineError : the library refuses the plan; the message carries its own reason.
    """

    def __init__(self, flavor: Flavor, plan: bytes, *, device: int = 0) -> None:
        flavor.require_gpu("run an engine", device=device)
        set_device(device)
        trt, self._log = flavor.module(), VendorLog()
        self._logger = make_logger(trt, self._log)
        self.trt = trt
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            self._log.raise_missing_plugin()
            _raise_if_out_of_memory(self._log, "load the engine")
            raise EngineError(f"{flavor} refuses the engine: {self._log.reason}", hint=self._log.hint)

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

    def layer_precisions(self) -> dict[str, int] | None:
        """Count the layers by the narrowest type that they read, or None if the plan does not say.

        Of a plan with dynamic axes TensorRT 8.6 tells formats only for given shapes: those that the first
        profile is tuned for.
        """
        inspector = self._engine.create_engine_inspector()
        context = None
        if not self.shape_inputs and any("?" in spec.shape for spec in self.inputs):
            context = self._engine.create_execution_context()
        if context is not None:
            for spec in self.inputs:
                _, tuned, _ = self._engine.get_tensor_profile_shape(spec.name, 0)
                context.set_input_shape(spec.name, tuple(tuned))
            inspector.execution_context = context
        return count_from_inspector(inspector.get_engine_information(self.trt.LayerInformationFormat.JSON))

    def new_context(self) -> Context:
        """Make an execution context.

        Raises
        ------
        OutOfMemoryError : the GPU has no room for its scratch memory.
        """
        self._log.errors.clear()
        context = self._engine.create_execution_context()
        if context is None:
            raise OutOfMemoryError(
                f"no execution context could be made: {self._log.reason}",
                hint="close idle sessions, or build with smaller profiles",
            )
        return Context(context, self._log)

    def __enter__(self) -> LoadedEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the engine and the runtime; contexts must be closed first."""
        self._engine = None
        self._runtime = None

    def _tensors(self, mode: Any) -> tuple[TensorSpec, ...]:
        engine = self._engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        return tuple(
            TensorSpec(name, dtype_name(engine.get_tensor_dtype(name)), axes(engine.get_tensor_shape(name)))
            for name in names
            if engine.get_tensor_mode(name) == mode
        )


class Context:
    """An execution context: the shapes and addresses of one inference at a time."""

    def __init__(self, context: Any, log: VendorLog) -> None:
        self._context: Any = context
        self._log = log
        self._profile = 0

    def use_profile(self, index: int, stream: int) -> bool:
        """Switch to an optimization profile; return whether that changed anything."""
        if index == self._profile:
            return False
        self._checked(self._context.set_optimization_profile_async(index, stream), f"use profile {index}")
        self._profile = index
        return True

    def set_shapes(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Set the shapes of the inputs.

        Raises
        ------
        ProfileError : the library refuses one.
        """
        self._log.errors.clear()
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, tuple(shape)):
                raise ProfileError(f"input {name!r} of shape {tuple(shape)} was refused: {self._log.reason}")
        missing = self._context.infer_shapes()
        if missing:
            raise ExecutionError(f"the engine still lacks the shapes of {list(missing)}")

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape, once those of the inputs are set.

        Raises
        ------
        ExecutionError : the shape depends on the values of the inputs.
        """
        shape = tuple(int(size) for size in self._context.get_tensor_shape(name))
        if any(size < 0 for size in shape):
            raise ExecutionError(
                f"the shape {shape} of output {name!r} depends on the data, which a session cannot run",
                hint="end the network before the operator that selects by value, and do that step in NumPy",
            )
        return shape

    def set_address(self, name: str, address: int) -> None:
        """Tell where a tensor lies in GPU memory."""
        self._checked(self._context.set_tensor_address(name, address), f"take the address of {name!r}")

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
        self._log.errors.clear()
        if not self._context.execute_async_v3(stream):
            check_last_error("run the engine")
            _raise_if_out_of_memory(self._log, "run the engine")
            raise ExecutionError(f"the engine did not run: {self._log.reason}")

    def close(self) -> None:
        """Release the context."""
        self._context = None

    def _checked(self, succeeded: bool, doing: str) -> None:
        if not succeeded:
            raise ExecutionError(f"the engine could not {doing}: {self._log.reason}")


def _raise_if_out_of_memory(log: VendorLog, doing: str) -> None:
    if log.is_out_of_memory:
        raise OutOfMemoryError(f"no GPU memory left to {doing}: {log.reason}", hint="close idle sessions")
