"""Execution contexts with a stream and memory: what one inference at a time runs in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import DeviceLostError, ExecutionError, InputError, OutOfMemoryError, TrtforgeError
from trtforge.model import TensorSpec
from trtforge.nvidia.cuda import Event, copy_on_device
from trtforge.nvidia.execution import LoadedEngine
from trtforge.runtime.buffers import Tensors
from trtforge.runtime.contexts import Contexts
from trtforge.runtime.counts import Counts
from trtforge.runtime.device_array import DeviceArray, DeviceMemory, block_bytes
from trtforge.runtime.device_inputs import ALIGNMENT, DeviceView, from_device
from trtforge.runtime.graphs import GraphCache

Shape: TypeAlias = tuple[int, ...]
Placed: TypeAlias = "NDArray[Any] | DeviceArray | DeviceView"
# Chooses the profile for the shapes of the inputs and the values of those that decide shapes, or raises; None
# where the engine has none.
Choose: TypeAlias = Callable[[Mapping[str, Shape], Mapping[str, tuple[int, ...]]], "int | None"]


class Lane:
    """Execution contexts, a stream, buffers and CUDA graphs; used by one thread at a time.

    Parameters
    ----------
    loaded : the engine.
    inputs, outputs : its tensors.
    memory : where outputs that stay on the GPU come from.
    device : CUDA device ordinal.
    max_graphs : most CUDA graphs; 0 for none.
    counts : where copies and fallbacks are counted.
    has_profiles : whether the engine's inputs have ranges of shapes.
    by_value : inputs whose values decide shapes; CUDA graphs are not recorded then.

    Raises
    ------
    OutOfMemoryError : the GPU has no room for another context.
    ProfileInUseError : contexts of this engine cannot share a profile.
    """

    def __init__(
        self,
        loaded: LoadedEngine,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        memory: DeviceMemory,
        *,
        device: int,
        max_graphs: int,
        counts: Counts,
        has_profiles: bool,
        by_value: tuple[str, ...] = (),
    ) -> None:
        self._inputs = {spec.name: spec for spec in inputs}
        self._dtypes = {spec.name: np.dtype(spec.dtype) for spec in (*inputs, *outputs)}
        self._output_names = tuple(spec.name for spec in outputs)
        self._memory, self._device, self._counts = memory, device, counts
        self._profile: int | None = 0 if has_profiles else None
        self._replays_before = 0
        self._marks: tuple[Event, Event] | None = None
        # What the library reads on the host, where it lies as long as the lane.
        self._host_values = {
            spec.name: np.zeros([int(size) for size in spec.shape], self._dtypes[spec.name])
            for spec in inputs
            if spec.name in by_value
        }
        with ExitStack() as stack:
            self._tensors = stack.enter_context(Tensors())
            self._stream = self._tensors.stream
            self._contexts = Contexts(loaded)
            stack.callback(self._contexts.close)
            stack.callback(self._close_marks)
            self._now = self._contexts.of(self._profile, self._stream.handle)
            self._graphs: GraphCache | None = None
            if max_graphs and by_value:
                counts.warn_once(
                    "CUDA graphs are not used, inferences are enqueued instead: the values of inputs "
                    f"{sorted(by_value)} decide shapes"
                )
            elif max_graphs:
                self._graphs = GraphCache(self._contexts.new, self._stream, max_graphs)
                stack.callback(self._graphs.close)
            self._resources = stack.pop_all()

    @property
    def num_contexts(self) -> int:
        """Execution contexts held, one for each profile used and one for each CUDA graph."""
        return len(self._contexts) + (0 if self._graphs is None else len(self._graphs))

    @property
    def num_replays(self) -> int:
        """Inferences that CUDA graphs ran."""
        graphs = self._graphs
        return self._replays_before + (0 if graphs is None else graphs.num_replays)

    @property
    def scratch_bytes(self) -> int:
        """GPU memory held for activations."""
        return self._contexts.scratch_bytes

    @property
    def device_bytes(self) -> int:
        """GPU memory held for inputs and outputs."""
        growing = [output for each in self._contexts.alive for output in tuple(each.growing.values())]
        return self._tensors.device_bytes + sum(output.buffer.capacity_bytes for output in growing)

    @property
    def pinned_bytes(self) -> int:
        """Page-locked host memory held for inputs and outputs."""
        return self._tensors.pinned_bytes

    @property
    def profile(self) -> int | None:
        """The profile of the last inference; None where the engine has none."""
        return self._profile

    @property
    def inference_ms(self) -> float:
        """Time that the last inference, which was timed, took the GPU; copies to and from it left out."""
        if self._marks is None:
            raise ExecutionError("no inference of this lane was timed")
        begin, end = self._marks
        return end.elapsed_ms(begin)

    def run(
        self,
        given: Mapping[str, Any],
        choose: Choose,
        *,
        to_host: bool,
        timed: bool = False,
        graph: bool = True,
    ) -> dict[str, Any]:
        """Run the engine once and wait for it.

        Parameters
        ----------
        given : input name, in the engine's order, to a checked NumPy array or something on the GPU.
        choose : chooses the profile.
        to_host : whether outputs are given as NumPy arrays, or as device arrays.
        timed : whether to mark begin and end for `inference_ms`.
        graph : whether a CUDA graph may run it.

        Raises
        ------
        TrtforgeError : as for `Session.run`; `recover` must be called before the lane is used again.
        """
        # Loops, where comprehensions would read better: after an inference nothing of this is in the caches,
        # and every function that is entered counts.
        inputs: dict[str, Placed] = {}
        for name, value in given.items():
            inputs[name] = value if type(value) is DeviceArray else self._placed(name, value)
        key = tuple([value.shape for value in inputs.values()])
        if self._host_values:
            key += self._take_values(inputs)
        if key != self._now.key:
            self._reshape(inputs, key, choose)
        context, growing = self._now.context, self._now.growing
        addresses: dict[str, int] = {}
        for name, value in inputs.items():
            addresses[name] = value.address if type(value) is DeviceArray else self._address(name, value)
        results: dict[str, DeviceArray] = {}
        for name, (shape, dtype, size) in self._now.fixed.items():
            if to_host:
                addresses[name] = self._tensors.reserve(name, shape, dtype)
            else:
                results[name] = made = self._memory.new(shape, dtype, size)
                addresses[name] = made.address
        if timed:
            self._mark(0)
        if not growing and (self._graphs is None or not graph):
            context.set_addresses(addresses)
            context.enqueue(self._stream.handle)
        else:
            self._launch(key, addresses)
        if timed:
            self._mark(1)
        if growing:
            return self._collect_growing(addresses, results, to_host)
        if to_host:
            return self._tensors.fetch(
                {name: (addresses[name], shape, dtype) for name, (shape, dtype, _) in self._now.fixed.items()}
            )
        self._stream.synchronize()
        return results

    def time_layers(self, given: Mapping[str, Any], choose: Choose, repeats: int) -> dict[str, float]:
        """Return the mean time of each layer in milliseconds; the lane must be discarded afterwards."""
        self.run(given, choose, to_host=True)
        self._drop_graphs()
        timer = self._now.context.time_layers()
        self.run(given, choose, to_host=True)
        timer.begin()
        for _ in range(repeats):
            self.run(given, choose, to_host=True)
        if not timer.total_ms:
            raise ExecutionError("the library reported no times of layers")
        return {name: total / repeats for name, total in timer.total_ms.items()}

    def recover(self, error: BaseException) -> None:
        """Make the lane fit for use after a failure: let what is under way end, forget what was prepared.

        Raises
        ------
        DeviceLostError : the CUDA context is corrupt.
        """
        self._contexts.forget()
        try:
            self._stream.synchronize()
        except DeviceLostError:
            raise
        except TrtforgeError:
            pass  # the error in hand came first
        if isinstance(error, OutOfMemoryError):
            if self._graphs is not None:
                self._graphs.close()
            self._tensors.release()
            for each in self._contexts.alive:
                for output in each.growing.values():
                    output.buffer.close()

    def close(self) -> None:
        """Give everything back; the lane must be at rest."""
        self._resources.close()

    def _placed(self, name: str, value: Any) -> Placed:
        if isinstance(value, np.ndarray):
            return value
        spec = self._inputs[name]
        view = from_device(spec, value, self._stream, self._device)
        if view.dtype != self._dtypes[name]:
            raise InputError(
                f"input {name!r} has dtype {view.dtype}, wanted {spec}", hint="convert it on the GPU first"
            )
        if view.was_copied:
            self._counts.add(layout_copies=1)
        return view

    def _take_values(self, inputs: Mapping[str, Placed]) -> tuple[tuple[int, ...], ...]:
        for name, held in self._host_values.items():
            np.copyto(held, np.asarray(inputs[name]).reshape(held.shape))
        return tuple([tuple(held.ravel().tolist()) for held in self._host_values.values()])

    def _address(self, name: str, value: Placed) -> int:
        if name in self._host_values:
            return int(self._host_values[name].ctypes.data)
        if isinstance(value, np.ndarray):
            return self._tensors.send(name, value)
        if value.address and value.address % ALIGNMENT == 0:
            return value.address
        self._counts.add(layout_copies=1)
        return self._tensors.stage(name, value.address, value.nbytes)

    def _reshape(self, inputs: Mapping[str, Placed], key: tuple[Shape, ...], choose: Choose) -> None:
        shapes = {name: value.shape for name, value in inputs.items()}
        values = {name: tuple(held.ravel().tolist()) for name, held in self._host_values.items()}
        profile = choose(shapes, values)
        now = self._contexts.of(profile, self._stream.handle)
        if now.key != key:
            now.key = None
            for name, held in self._host_values.items():
                now.context.set_host_values(name, held.ctypes.data)
            now.context.set_shapes(shapes)
            now.fixed.clear()
            for name in self._output_names:
                shape = now.context.known_shape_of(name)
                # Its allocator stays with the context, and is asked even where the shape is known beforehand.
                if shape is not None and name not in now.growing:
                    dtype = self._dtypes[name]
                    now.fixed[name] = shape, dtype, block_bytes(shape, dtype)
                elif name not in now.growing:
                    now.growing[name] = now.context.grow_output(name)
            for name, output in now.growing.items():
                output.prepare(now.context.most_bytes_of(name))
            now.key = key
        self._now, self._profile = now, profile

    def _launch(self, shapes: tuple[Shape, ...], addresses: Mapping[str, int]) -> None:
        if self._graphs is not None and self._launch_graph(shapes, addresses):
            return
        context, growing = self._now.context, self._now.growing.values()
        context.set_addresses(addresses)
        for output in growing:
            output.begin()
        try:
            context.enqueue(self._stream.handle)
        except ExecutionError:
            for output in growing:
                output.check()
            raise

    def _launch_graph(self, shapes: tuple[Shape, ...], addresses: Mapping[str, int]) -> bool:
        graphs = self._graphs
        if graphs is None:
            return False
        unknown = list(self._now.growing)
        why = f"the shapes of outputs {unknown} depend on the data" if unknown else None
        if why is None:
            try:
                return graphs.launch(self._profile, shapes, addresses)
            except DeviceLostError:
                raise
            except TrtforgeError as error:
                why = error.message
        self._drop_graphs()
        self._counts.warn_once(f"CUDA graphs are not used, inferences are enqueued instead: {why}")
        return False

    def _collect_growing(
        self, addresses: Mapping[str, int], results: dict[str, DeviceArray], to_host: bool
    ) -> dict[str, Any]:
        self._stream.synchronize()
        found: dict[str, tuple[int, Shape, np.dtype[Any]]] = {}
        for name in self._output_names:
            if name in self._now.fixed:
                shape, dtype, _ = self._now.fixed[name]
                found[name] = addresses.get(name, 0), shape, dtype
            else:
                output = self._now.growing[name]
                output.check()
                dtype = self._dtypes[name]
                found[name] = output.buffer.address, output.shape(dtype.itemsize), dtype
        if to_host:
            return self._tensors.fetch(found)
        for name in self._now.growing:
            address, shape, dtype = found[name]
            results[name] = self._memory.new(shape, dtype)
            if results[name].nbytes:
                copy_on_device(results[name].address, address, results[name].nbytes, self._stream.handle)
        self._stream.synchronize()
        return {name: results[name] for name in self._output_names}

    def _drop_graphs(self) -> None:
        graphs, self._graphs = self._graphs, None
        if graphs is not None:
            self._replays_before += graphs.num_replays
            graphs.close()

    def _mark(self, which: int) -> None:
        if self._marks is None:
            self._marks = Event(), Event()
        self._marks[which].record(self._stream)

    def _close_marks(self) -> None:
        for mark in self._marks or ():
            mark.close()
