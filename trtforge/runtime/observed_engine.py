"""An engine whose observed tensors stay on the GPU after each run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.feeds import Arrays
from trtforge.nvidia import Flavor
from trtforge.nvidia.cuda import DeviceBuffer, Event, PinnedBuffer, Stream, copy_to_device
from trtforge.nvidia.debug_tensors import DebugTensors
from trtforge.nvidia.execution import LoadedEngine
from trtforge.nvidia.magnitude_tables import Lying, item_bytes
from trtforge.runtime.inputs import check_inputs


class StagedInputs:
    """Inputs of one batch in flight: pinned memory, and the place on the GPU that it is copied to."""

    def __init__(self) -> None:
        self._resources = ExitStack()
        self._buffers: dict[str, tuple[DeviceBuffer, PinnedBuffer]] = {}
        self._sent = self._resources.enter_context(Event())
        self.arrays: dict[str, NDArray[Any]] = {}

    def __enter__(self) -> StagedInputs:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def send(self, arrays: Mapping[str, NDArray[Any]], copies: Stream, compute: Stream) -> None:
        """Queue the copies on a stream of their own, and let ``compute`` wait for them.

        The buffers must be free: ``compute`` must be done with what they held.
        """
        self.arrays = dict(arrays)
        for name, array in arrays.items():
            if name not in self._buffers:
                enter = self._resources.enter_context
                self._buffers[name] = enter(DeviceBuffer()), enter(PinnedBuffer())
            device, pinned = self._buffers[name]
            device.reserve(array.nbytes)
            pinned.reserve(array.nbytes)
            np.copyto(pinned.view(array.shape, array.dtype), array)
            copy_to_device(device, pinned, array.nbytes, copies)
        self._sent.record(copies)
        compute.wait(self._sent)

    def address(self, name: str) -> int:
        """Return where an input lies on the GPU."""
        return self._buffers[name][0].address

    def release(self) -> None:
        """Give back the memory, as after a batch that was too large."""
        for device, pinned in self._buffers.values():
            device.close()
            pinned.close()


class ObservedEngine:
    """Run a plan and say where its observed tensors lie.

    Parameters
    ----------
    flavor, plan, device : as for `LoadedEngine`.
    observed : the plan's outputs, debug tensors and inputs that are looked at, in order.

    Raises
    ------
    NoGpuError, EngineError, OutOfMemoryError : as for `LoadedEngine`.
    CalibrationError : an observed output has a type that cannot be counted.
    """

    def __init__(self, flavor: Flavor, plan: bytes, observed: Sequence[str], *, device: int) -> None:
        self._observed = tuple(observed)
        self._narrow_int64 = not flavor.has_int64
        with ExitStack() as stack:
            loaded = stack.enter_context(LoadedEngine(flavor, plan, device=device))
            self.inputs, self._outputs = loaded.inputs, loaded.outputs
            self._context = loaded.new_context()
            stack.callback(self._context.close)
            self._buffers = {spec.name: stack.enter_context(DeviceBuffer()) for spec in self._outputs}
            self._item_bytes = {
                spec.name: item_bytes(spec.name, spec.dtype)
                if spec.name in self._observed
                else _any_item_bytes(spec.dtype)
                for spec in self._outputs
            }
            known = {spec.name for spec in (*self.inputs, *self._outputs)}
            hidden = [name for name in self._observed if name not in known]
            self._debug = DebugTensors(loaded.trt, self._context, hidden) if hidden else None
            if self._debug is not None:
                stack.callback(self._debug.close)
            self._dtypes = {spec.name: spec.dtype for spec in (*self.inputs, *self._outputs)}
            self._resources = stack.pop_all()

    def __enter__(self) -> ObservedEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def check(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """Return the arrays as the engine takes them; raise InputError where they do not fit."""
        return check_inputs(self.inputs, arrays, narrow_int64=self._narrow_int64)

    def run(self, staged: StagedInputs, stream: Stream) -> dict[str, Lying]:
        """Queue one inference; what is observed is valid from then on in the stream, until the next run.

        Parameters
        ----------
        staged : the inputs, which the stream has been told to wait for.
        stream : where the engine runs.

        Returns
        -------
        Observed tensor to where it lies, in the order asked for, each of them whole.

        Raises
        ------
        ProfileError : the library refuses a shape.
        OutOfMemoryError : the GPU has no room for the outputs.
        DeviceLostError, ExecutionError : the engine did not run.
        """
        context = self._context
        context.set_shapes({name: array.shape for name, array in staged.arrays.items()})
        for name in staged.arrays:
            context.set_address(name, staged.address(name))
        shapes = {name: array.shape for name, array in staged.arrays.items()}
        for spec in self._outputs:
            shapes[spec.name] = context.shape_of(spec.name)
            buffer = self._buffers[spec.name]
            buffer.reserve(math.prod(shapes[spec.name]) * self._item_bytes[spec.name])
            context.set_address(spec.name, buffer.address)
        if self._debug is not None:
            self._debug.begin()
        context.enqueue(stream.handle)
        return {name: self._lying(name, staged, shapes) for name in self._observed}

    def release(self) -> None:
        """Give back the memory of the outputs, as after a batch that was too large."""
        for buffer in self._buffers.values():
            buffer.close()
        if self._debug is not None:
            self._debug.close()

    def _lying(self, name: str, staged: StagedInputs, shapes: Mapping[str, tuple[int, ...]]) -> Lying:
        if name in staged.arrays:
            dtype = str(staged.arrays[name].dtype)
            item_bytes(name, dtype)
            address, shape = staged.address(name), shapes[name]
        elif name in self._buffers:
            address, dtype, shape = self._buffers[name].address, self._dtypes[name], shapes[name]
        else:
            assert self._debug is not None  # noqa: S101 - made for exactly these names
            address, dtype, shape = self._debug.found(name)
        return Lying(address, dtype, shape, ((None, shape),))


def _any_item_bytes(dtype: str) -> int:
    try:
        return np.dtype(dtype).itemsize
    except TypeError:
        return 4  # types that NumPy lacks are narrower
