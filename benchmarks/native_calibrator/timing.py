"""Time engines side by side: interleaved in one process, by CUDA events, over inputs in rotation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from trtforge._turns import timing_turn
from trtforge.engine import Engine
from trtforge.engine.artifact import check_runs_here
from trtforge.errors import ExecutionError, TrtforgeError
from trtforge.feeds import Arrays
from trtforge.nvidia.cuda import (
    DeviceBuffer,
    Event,
    Graph,
    PinnedBuffer,
    Stream,
    copy_to_device,
    copy_to_host,
    set_device,
)
from trtforge.nvidia.execution import LoadedEngine
from trtforge.nvidia.telemetry import Telemetry


@dataclass(frozen=True)
class Times:
    """Device times of several engines.

    Parameters
    ----------
    samples_ms : engine to the time of one inference in each repetition, in milliseconds.
    launches : inferences timed as one sample.
    launched_by : ``CUDA graph``, or ``enqueue`` where none could be recorded.
    clocks : what NVML said before and after: SM and memory clock, temperature, power.
    """

    samples_ms: Mapping[str, tuple[float, ...]]
    launches: int
    launched_by: str
    clocks: tuple[str | None, str | None]


def time_engines(
    engines: Mapping[str, Engine],
    inputs: Sequence[Arrays],
    *,
    repetitions: int = 300,
    sample_ms: float = 2.0,
    warm_up_s: float = 0.3,
) -> Times:
    """Time engines that take the same inputs.

    In each repetition every engine has its turn, in an order that rotates; a turn is so many inferences, over
    the inputs in rotation, that it takes about ``sample_ms``. Inputs are on the GPU before.

    Parameters
    ----------
    engines : name to engine; one engine under two names shows what differs by chance.
    inputs : input sets of one shape; several, so that the GPU's cache does not hold them.
    repetitions : turns of each engine.
    sample_ms : least length of a turn, in milliseconds.
    warm_up_s : how long each engine runs before, in seconds.

    Raises
    ------
    ExecutionError : an engine does not run, or leaves part of its output unwritten or not finite.
    """
    with timing_turn():
        try:
            return _time(engines, inputs, repetitions, sample_ms, warm_up_s, graphs=True)
        except TrtforgeError as error:
            print(f"no CUDA graph ({error}); timing by enqueue", flush=True)
            return _time(engines, inputs, repetitions, sample_ms, warm_up_s, graphs=False)


def gpu_clocks() -> str | None:
    """Read clocks, temperature and power of the GPU that is used; None where NVML does not answer."""
    with Telemetry() as telemetry:
        found = telemetry.state()
    units = {"sm_mhz": " MHz", "memory_mhz": " MHz", "temperature_c": " C", "power_w": " W"}
    return ", ".join(f"{found[name]}{unit}" for name, unit in units.items() if name in found) or None


def _time(
    engines: Mapping[str, Engine],
    inputs: Sequence[Arrays],
    repetitions: int,
    sample_ms: float,
    warm_up_s: float,
    *,
    graphs: bool,
) -> Times:
    set_device(0)
    with ExitStack() as stack:
        stream = stack.enter_context(Stream())
        runners = {
            name: stack.enter_context(_Runner(engine, inputs, stream, graphs=graphs))
            for name, engine in engines.items()
        }
        events = {name: (stack.enter_context(Event()), stack.enter_context(Event())) for name in runners}
        one_ms = min(_warm_up(runner, stream, warm_up_s) for runner in runners.values())
        launches = max(1, math.ceil(sample_ms / one_ms))
        before = gpu_clocks()
        samples: dict[str, list[float]] = {name: [] for name in runners}
        names = list(runners)
        for repetition in range(repetitions):
            turn = repetition % len(names)
            for name in names[turn:] + names[:turn]:
                start, end = events[name]
                start.record(stream)
                for index in range(launches):
                    runners[name].launch(repetition + index)
                end.record(stream)
            stream.synchronize()
            for name, (start, end) in events.items():
                samples[name].append(end.elapsed_ms(start) / launches)
        after = gpu_clocks()
        for name, runner in runners.items():
            runner.check_output(name)
    frozen = {name: tuple(values) for name, values in samples.items()}
    return Times(frozen, launches, "CUDA graph" if graphs else "enqueue", (before, after))


def _warm_up(runner: _Runner, stream: Stream, seconds: float) -> float:
    """Run for a while; return the time of one inference in milliseconds."""
    begin, count = time.perf_counter(), 0
    while count < 10 or time.perf_counter() - begin < seconds:
        runner.launch(count)
        count += 1
        if count % 10 == 0:
            stream.synchronize()
    stream.synchronize()
    return 1e3 * (time.perf_counter() - begin) / count


class _Runner:
    """One engine with its inputs on the GPU, ready to be launched."""

    def __init__(self, engine: Engine, inputs: Sequence[Arrays], stream: Stream, *, graphs: bool) -> None:
        self._stream = stream
        self._outputs: dict[str, tuple[DeviceBuffer, PinnedBuffer, int, np.dtype[np.generic]]] = {}
        with ExitStack() as stack:
            flavor = check_runs_here(engine.manifest, device=0)
            loaded = stack.enter_context(LoadedEngine(flavor, engine.plan))
            self._context = loaded.new_context()
            stack.callback(self._context.close)
            self._context.set_shapes({name: array.shape for name, array in inputs[0].items()})
            for spec in loaded.outputs:
                shape, dtype = self._context.shape_of(spec.name), np.dtype(spec.dtype)
                num_bytes = math.prod(shape) * dtype.itemsize
                device = stack.enter_context(DeviceBuffer())
                pinned = stack.enter_context(PinnedBuffer())
                device.reserve(num_bytes)
                pinned.reserve(num_bytes)
                self._context.set_address(spec.name, device.address)
                self._outputs[spec.name] = (device, pinned, num_bytes, dtype)
            sent = [{n: _sent(a, stream, stack) for n, a in arrays.items()} for arrays in inputs]
            self._launches = [self._make_launch(buffers, stack, graphs) for buffers in sent]
            self._resources = stack.pop_all()

    def __enter__(self) -> _Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.synchronize()
        self._resources.close()

    def launch(self, index: int) -> None:
        """Queue an inference over one of the inputs, in rotation."""
        self._launches[index % len(self._launches)]()

    def check_output(self, name: str) -> None:
        """Fill the outputs with NaN, run once, and require that every value was written and is finite."""
        for device, pinned, num_bytes, _ in self._outputs.values():
            pinned.view((num_bytes,), np.dtype(np.uint8))[...] = 0xFF
            copy_to_device(device, pinned, num_bytes, self._stream)
        self.launch(0)
        for output, (device, pinned, num_bytes, dtype) in self._outputs.items():
            copy_to_host(pinned, device, num_bytes, self._stream)
            self._stream.synchronize()
            values = pinned.view((num_bytes // dtype.itemsize,), dtype)
            if np.issubdtype(dtype, np.floating) and not np.isfinite(values).all():
                bad = int(np.count_nonzero(~np.isfinite(values)))
                raise ExecutionError(
                    f"engine {name!r} left {bad} of {values.size} values of {output!r} unwritten or not "
                    "finite"
                )

    def _make_launch(
        self, buffers: Mapping[str, DeviceBuffer], stack: ExitStack, graphs: bool
    ) -> Callable[[], None]:
        def enqueue() -> None:
            for name, buffer in buffers.items():
                self._context.set_address(name, buffer.address)
            self._context.enqueue(self._stream.handle)

        enqueue()
        self._stream.synchronize()
        if not graphs:
            return enqueue
        graph = Graph(self._stream, enqueue)
        stack.callback(graph.close)
        return lambda: graph.launch(self._stream)


def _sent(
    array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], stream: Stream, stack: ExitStack
) -> DeviceBuffer:
    device = DeviceBuffer()
    stack.callback(device.close)
    device.reserve(array.nbytes)
    with PinnedBuffer() as pinned:
        pinned.reserve(array.nbytes)
        pinned.view(array.shape, array.dtype)[...] = array
        copy_to_device(device, pinned, array.nbytes, stream)
        stream.synchronize()
    return device
