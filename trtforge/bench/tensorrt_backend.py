"""An engine of TensorRT, inside a worker: launched by a CUDA graph where it can be recorded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trtforge.engine import BuildConfig, Engine, build
from trtforge.engine.artifact import check_runs_here
from trtforge.engine.attempts import describe_way
from trtforge.errors import TrtforgeError
from trtforge.nvidia import Flavor, select
from trtforge.nvidia.cuda import (
    DeviceBuffer,
    Event,
    Graph,
    Stream,
    copy_array_to_device,
    copy_device_to_array,
    copy_on_device,
    set_device,
)
from trtforge.nvidia.execution import LoadedEngine
from trtforge.profiles import OptimizationProfile, ShapeRange, choose_profile
from trtforge.scales import Scales

if TYPE_CHECKING:
    import onnx

_PRECISIONS = {"fp32": "float32", "tf32": "float32", "fp16": "float16", "int8": "int8"}


class TensorRtBackend:
    """An engine with its input in GPU memory."""

    def __init__(self) -> None:
        self._stack, self._case = ExitStack(), ExitStack()
        self._sets: dict[str, tuple[int, int, int]] = {}
        self._go: Callable[[], None] = lambda: None
        self._outputs: dict[str, tuple[DeviceBuffer, tuple[int, ...], np.dtype[Any]]] = {}

    def versions(self) -> dict[str, str]:
        """Name what decides the speed."""
        return {"tensorrt": select("tensorrt").version, "numpy": np.__version__}

    def build(
        self,
        *,
        model: str,
        number: str,
        profiles: Sequence[Mapping[str, Sequence[Sequence[int]]]],
        engine: str,
        optimization_level: int | None,
        unquantized: str | None = None,
        scales: str | None = None,
    ) -> dict[str, Any]:
        """Build the engine, unless the file holds it already, and say what building took.

        Parameters
        ----------
        model : the network; with Q/DQ pairs for ``int8``.
        number : ``fp32``, ``tf32``, ``fp16`` or ``int8``.
        profiles : input to smallest, tuned-for and largest shape, for each profile.
        engine : where the engine is saved, and looked for first.
        optimization_level : effort of the builder; None leaves the library's default.
        unquantized, scales : what ``model`` was quantized from, and with, for `trtforge.build`.
        """
        if not Path(engine).is_file():
            config = BuildConfig(
                precision=_PRECISIONS[number],  # type: ignore[arg-type]
                tf32=number != "fp32",
                optimization_level=optimization_level,
            )
            shapes = [
                OptimizationProfile({name: ShapeRange(*map(tuple, sizes)) for name, sizes in profile.items()})
                for profile in profiles
            ]
            flavor, chosen = select("tensorrt"), Scales.load(scales) if scales else None
            build(
                network_for(flavor, model, unquantized, chosen),
                profiles=shapes,
                config=config,
                flavor=flavor,
                unquantized=unquantized,
                scales=chosen,
            ).save(engine)
        manifest = Engine.load(engine).manifest
        return {
            "build_s": manifest.build_seconds,
            "plan_bytes": manifest.plan_bytes,
            "layer_precisions": dict(manifest.layer_precisions or {}),
            "way": describe_way(manifest),
        }

    def load(self, *, engine: str, **_: Any) -> None:
        """Load the engine and make one context."""
        set_device(0)
        self._engine = Engine.load(engine)
        flavor = check_runs_here(self._engine.manifest, device=0)
        self._loaded = self._stack.enter_context(LoadedEngine(flavor, self._engine.plan))
        self._context = self._loaded.new_context()
        self._stack.callback(self._context.close)
        self._stream = self._stack.enter_context(Stream())
        self._marks = tuple(self._stack.enter_context(Event()) for _ in range(2))

    def prepare(self, sets: Mapping[str, NDArray[Any]]) -> str:
        """Put the inputs on the GPU, and record the inference on one place that they are copied to."""
        self.release()
        self._set_shapes({name: array.shape[1:] for name, array in sets.items()})
        for name, array in sets.items():
            ring, place = self._buffer(array.nbytes), self._buffer(array[0].nbytes)
            copy_array_to_device(ring.address, array)
            self._context.set_address(name, place.address)
            self._sets[name] = (ring.address, place.address, array[0].nbytes)
        self._count = len(next(iter(sets.values())))
        self._copy(0)
        self._context.enqueue(self._stream.handle)
        self._stream.synchronize()
        try:
            graph = Graph(self._stream, lambda: self._context.enqueue(self._stream.handle))
        except TrtforgeError:
            self._go = lambda: self._context.enqueue(self._stream.handle)
            return "enqueue"
        self._case.callback(graph.close)
        self._go = lambda: graph.launch(self._stream)
        return "CUDA graph"

    def launch(self, index: int) -> None:
        """Queue the copy of an input, and the inference."""
        self._copy(index % self._count)
        self._go()

    def synchronize(self) -> None:
        """Wait for the GPU."""
        self._stream.synchronize()

    def mark(self, which: int) -> None:
        """Record an event."""
        self._marks[which].record(self._stream)

    def elapsed_ms(self) -> float:
        """Return the time between the events."""
        return float(self._marks[1].elapsed_ms(self._marks[0]))

    def run(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once and return the outputs by name; every byte of them is spoilt before."""
        self.release()
        self._set_shapes({name: array.shape for name, array in arrays.items()})
        for name, array in arrays.items():
            buffer = self._buffer(array.nbytes)
            copy_array_to_device(buffer.address, np.ascontiguousarray(array))
            self._context.set_address(name, buffer.address)
        for buffer, shape, dtype in self._outputs.values():
            spoilt = np.full(math.prod(shape) * dtype.itemsize, 0xFF, np.uint8)
            copy_array_to_device(buffer.address, spoilt)
        self._context.enqueue(self._stream.handle)
        self._stream.synchronize()
        found = {}
        for name, (buffer, shape, dtype) in self._outputs.items():
            found[name] = np.empty(shape, dtype)
            copy_device_to_array(found[name], buffer.address)
        return found

    def release(self) -> None:
        """Let go of the buffers and the graph of the last shape."""
        self._case.close()
        self._case = ExitStack()
        self._sets, self._outputs = {}, {}

    def _set_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        profiles = self._engine.manifest.profiles
        if profiles:
            self._context.use_profile(choose_profile(profiles, shapes, {}), self._stream.handle)
            self._stream.synchronize()
        self._context.set_shapes(shapes)
        for spec in self._loaded.outputs:
            shape, dtype = self._context.shape_of(spec.name), np.dtype(spec.dtype)
            buffer = self._buffer(math.prod(shape) * dtype.itemsize)
            self._context.set_address(spec.name, buffer.address)
            self._outputs[spec.name] = (buffer, shape, dtype)

    def _buffer(self, num_bytes: int) -> DeviceBuffer:
        buffer = DeviceBuffer()
        self._case.callback(buffer.close)
        buffer.reserve(num_bytes)
        return buffer

    def _copy(self, index: int) -> None:
        for ring, place, size in self._sets.values():
            copy_on_device(place, ring + index * size, size, self._stream.handle)


def network_for(
    flavor: Flavor, model: str, unquantized: str | None, scales: Scales | None
) -> str | onnx.ModelProto:
    """Return what the library is to build of a network with FP32 between its Q/DQ pairs.

    TensorRT 8.6 and 10 choose FP16 there by a builder flag. A library that runs the types of the network gets
    it quantized again with FP16 there, where it is known from what.
    """
    if unquantized is None or scales is None or not flavor.strongly_typed_only:
        return model
    from trtforge.pipeline import quantize  # an interpreter with TensorRT alone has not all that it imports

    return quantize(unquantized, scales, rest="float16")
