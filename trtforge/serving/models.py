"""A network that is loaded and served: its runner, its batches, and what they cost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import ExecutionError
from trtforge.runtime import Batcher, BatchingRule, Bucket, Session
from trtforge.serving.layer_sampling import LayerSampler
from trtforge.serving.metrics import MetricSink, NullSink
from trtforge.serving.service_time import BatchCost, Expected, ServiceTime
from trtforge.serving.tasks import Task

# Features are made by as many threads as there are cores: more would make none of them sooner, and keep those
# that take and refuse requests from Python's global lock and from the cores.
_NUM_CORES = len(os.sched_getaffinity(0))
_PREPARING = threading.BoundedSemaphore(_NUM_CORES)

Runner = Callable[[Mapping[str, Any]], Mapping[str, NDArray[Any]]]


class NonfiniteError(ExecutionError):
    """An output held NaN or infinity, and makes no answer."""


class ServedModel:
    """A runner with the batcher in front of it; the worker that it is given to closes it.

    Parameters
    ----------
    name : short name, the label ``engine`` of its metrics.
    runner : a `Session`, `OnnxRunner` or `TorchRunner` of a network with one input, whose last axis is time.
    task : what requests hold.
    rule : shapes and waiting time of batches.
    sink : where measurements go.
    layer_samples : one inference in so many has its layers timed, by a `Session`; 0 for none.
    """

    def __init__(
        self,
        name: str,
        runner: Any,
        task: Task,
        rule: BatchingRule,
        *,
        sink: MetricSink | None = None,
        layer_samples: int = 1000,
    ) -> None:
        self.name, self.runner, self.task, self.rule = name, runner, task, rule
        self._sink = NullSink() if sink is None else sink
        self._times_itself = isinstance(runner, Session)
        self._sampler: LayerSampler | None = None
        if isinstance(runner, Session):
            runner.on_inference = self._note_inference
            if layer_samples:
                self._sampler = LayerSampler(runner.profile, name, self._sink, every=layer_samples)
        self._lock = threading.Lock()
        self._preparing = 0.0
        self._service = ServiceTime({each.num_frames: BatchCost(1e-6, 1e-6, 1) for each in rule.buckets})
        self._free_since: float | None = None
        self.has_backlog: Callable[[], bool] = lambda: False
        self.turns_away: Callable[[], bool] = lambda: False
        self._batcher = Batcher(
            self._run, rule, input_name=task.input_name, output_lengths=task.output_lengths
        )

    @property
    def max_rows(self) -> int:
        """Most rows of a batch."""
        return max(bucket.max_rows for bucket in self.rule.buckets)

    @property
    def service(self) -> Expected:
        """Seconds from request to request while others wait: what limits how many can be served."""
        with self._lock:
            return self._service.value

    def warm_up(self) -> float:
        """Run every shape of batches, so that nothing is set up later; return the longest time in seconds."""
        preparing = self.task.warm_up() / min(_NUM_CORES, self.max_rows)
        costs: dict[int, BatchCost] = {}
        longest = 0.0
        for bucket in self.rule.buckets:
            one, full = (self._time_batch(bucket.num_frames, rows) for rows in (1, bucket.max_rows))
            longest = max(longest, one, full)
            cost = BatchCost(one + preparing, full + bucket.max_rows * preparing, bucket.max_rows)
            known = costs.get(bucket.num_frames)
            if known is None or known.max_rows < cost.max_rows:
                costs[bucket.num_frames] = cost
        self._preparing, self._service = preparing, ServiceTime(costs)
        return longest

    def answer(self, content: Any) -> Any:
        """Do one request; blocks until its batch has run.

        Raises
        ------
        TrtforgeError : the content cannot be used, or the network did not run.
        NonfiniteError : an output is not finite.
        """
        with _PREPARING:
            array = self.task.prepare(content, max_frames=self.rule.max_frames)
        outputs = self._batcher.submit(array).result()
        for name, value in outputs.items():
            if value.dtype.kind in "fc" and not np.isfinite(value).all():
                self._sink.count("nonfinite_outputs_total", self.name, name)
                raise NonfiniteError(
                    f"output {name!r} of {self.name} holds values that are not finite",
                    hint="look at the input for such values, or at the network's range in this precision",
                )
        return self.task.read(outputs)

    def save_memory(self, yes: bool) -> None:
        """Halve batches and give idle contexts back, or let batches be whole again."""
        if not yes:
            self._batcher.rule = self.rule
            return
        halves = tuple(Bucket(each.num_frames, max(1, each.max_rows // 2)) for each in self.rule.buckets)
        self._batcher.rule = replace(self.rule, buckets=halves)
        if isinstance(self.runner, Session):
            self.runner.free_idle()

    def report_memory(self) -> None:
        """Set the gauges of the memory that the engine holds, where it is on a GPU."""
        if not isinstance(self.runner, Session):
            return
        memory = self.runner.memory()
        for kind, held in (
            ("weights", memory.engine_bytes),
            ("context", memory.scratch_bytes),
            ("io", memory.tensor_bytes),
        ):
            self._sink.set("engine_memory_bytes", self.name, kind, to=held)

    def forget_pause(self) -> None:
        """Leave the time from the last batch to the next out of what requests cost."""
        with self._lock:
            self._free_since = None

    def close(self) -> None:
        """Run what waits, and release the network."""
        self._batcher.close()
        if self._sampler is not None:
            self._sampler.close()
        self.runner.close()

    def _time_batch(self, num_frames: int, rows: int) -> float:
        """Return the seconds of a batch of zeros, the second of two."""
        spec = next(each for each in self.runner.inputs if each.name == self.task.input_name)
        sizes = [size if isinstance(size, int) else 1 for size in spec.shape[1:-1]]
        arrays = {spec.name: np.zeros((rows, *sizes, num_frames), spec.dtype)}
        self.runner(arrays)
        begin = time.perf_counter()
        self.runner(arrays)
        return time.perf_counter() - begin

    def _run(self, arrays: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
        rows, num_frames = len(arrays[self.task.input_name]), arrays[self.task.input_name].shape[-1]
        begin = time.perf_counter()
        outputs: Mapping[str, NDArray[Any]] = self.runner(arrays)
        end = time.perf_counter()
        with self._lock:
            self._service.note(num_frames, rows, self._seconds_under_load(begin, end, rows))
            self._free_since = end if self.has_backlog() else None
        self._sink.observe("batch_size", self.name, value=rows)
        if not self._times_itself:
            self._sink.observe("infer_duration_seconds", self.name, "0", value=end - begin)
        if self._sampler is not None:
            self._sampler.offer(arrays)
        return outputs

    def _seconds_under_load(self, begin: float, end: float, rows: int) -> float | None:
        """Return what a batch took, or None where it does not show what batches take under load."""
        # Others waited all along since the last batch: its end is when this one could have begun, and
        # whatever delayed it is part of the cost.
        if self._free_since is not None:
            return end - self._free_since
        # Where admission lets nobody wait, those that it turns away show the load, and a batch's own time is
        # what there is to learn from.
        return end - begin + rows * self._preparing if self.turns_away() else None

    def _note_inference(self, milliseconds: float, profile: int | None) -> None:
        self._sink.observe("infer_duration_seconds", self.name, str(profile or 0), value=milliseconds / 1000)
