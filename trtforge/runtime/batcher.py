"""Feed a runner with batches of requests of like length, from one thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trtforge._closing import Closing
from trtforge.errors import DeviceLostError, ExecutionError, InputError, ProfileError, TrtforgeError
from trtforge.runtime.batching import Batch, BatchingRule, Request, choose_batch, due, home_of
from trtforge.units import Seconds

Outputs: TypeAlias = dict[str, NDArray[Any]]
# Output name and true input lengths to true output lengths, or None to leave an output as it is.
OutputLengths: TypeAlias = Callable[[str, Sequence[int]], "list[int] | None"]


class Batcher(Closing):
    """Requests of one row each, run together where that wastes little; share it between threads.

    Rows are padded with zeros at the end to the bucket's frames, so that shapes recur. A network that sees
    beyond a row's end sees those zeros, as in any padded batch, unless it masks them by the lengths.

    Parameters
    ----------
    runner : a `Session`, `OnnxRunner` or `TorchRunner` of a network with one input, whose last axis is time,
        and at most one more, for the lengths.
    rule : buckets, waiting time and cost.
    input_name : the network's input.
    lengths_name : the input that takes each row's frames without padding, [rows], of the dtype that the
        runner states, else int64; None where the network has none.
    output_lengths : cuts outputs, whose axis 1 is time, to their true length; `CtcDecoder.output_lengths` is
        such. By default outputs keep what padding gave.
    """

    def __init__(
        self,
        runner: Callable[[Mapping[str, Any]], Mapping[str, NDArray[Any]]],
        rule: BatchingRule,
        *,
        input_name: str,
        lengths_name: str | None = None,
        output_lengths: OutputLengths | None = None,
    ) -> None:
        self._runner, self._rule, self._input_name = runner, rule, input_name
        self._lengths_name, self._output_lengths = lengths_name, output_lengths
        stated = {spec.name: spec.dtype for spec in getattr(runner, "inputs", ())}
        self._lengths_dtype = np.dtype(stated.get(lengths_name, "int64"))
        self._changed = threading.Condition()
        self._waiting: dict[int, Request] = {}
        self._given: dict[int, tuple[NDArray[Any], Future[Outputs]]] = {}
        self._num_submitted = 0
        self._is_closed = False
        self._counts = {"batches": 0, "rows": 0, "frames": 0, "padded_frames": 0, "rows_run_alone": 0}
        self._thread = threading.Thread(target=self._serve, name="trtforge-batcher", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> dict[str, int]:
        """What was run.

        ``batches`` and their ``rows``, ``frames`` and ``padded_frames``; and ``rows_run_alone`` because the
        batch that they were in had failed.
        """
        with self._changed:
            return dict(self._counts)

    @property
    def rule(self) -> BatchingRule:
        """The rule by which batches are chosen; set another between requests, as for smaller batches.

        Raises
        ------
        ProfileError : on setting, the longest bucket is shorter than before.
        """
        return self._rule

    @rule.setter
    def rule(self, rule: BatchingRule) -> None:
        if rule.max_frames < self._rule.max_frames:
            raise ProfileError(
                f"the longest bucket would become {rule.max_frames} frames, and requests of up to "
                f"{self._rule.max_frames} may wait"
            )
        with self._changed:
            self._rule = rule
            self._changed.notify()

    def submit(self, array: NDArray[Any]) -> Future[Outputs]:
        """Queue a request.

        Parameters
        ----------
        array : [..., frames], the input of one row without the batch axis; it must not be changed until the
            future is done.

        Returns
        -------
        A future of output name to array, each with a batch axis of 1. It fails with what the runner raised
        for this request; a request that was cancelled before its batch was chosen is not run.

        Raises
        ------
        InputError : the array has no frames.
        ProfileError : it is longer than every bucket.
        ExecutionError : the batcher is closed.
        """
        if not isinstance(array, np.ndarray) or array.ndim < 1 or not array.shape[-1]:
            raise InputError(
                f"a request is an array [..., frames] with 1 frame or more, got {type(array).__name__} "
                f"{list(np.shape(array))}"
            )
        future: Future[Outputs] = Future()
        with self._changed:
            if self._is_closed:
                raise ExecutionError("the batcher is closed", hint="make another Batcher")
            request = Request(self._num_submitted, array.shape[-1], Seconds(time.monotonic()))
            home_of(request, self._rule)
            self._num_submitted += 1
            self._waiting[request.number] = request
            self._given[request.number] = (array, future)
            self._changed.notify()
        return future

    def map(self, arrays: Iterable[NDArray[Any]]) -> Iterator[Outputs]:
        """Submit all arrays and yield their results in the same order.

        Raises
        ------
        TrtforgeError : what a request failed with, when its turn comes; the others are run all the same.
        """
        futures = [self.submit(array) for array in arrays]
        for future in futures:
            yield future.result()

    def close(self) -> None:
        """Run what waits, at once, and end; closing twice does nothing."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _serve(self) -> None:
        while (batch := self._next_batch()) is not None:
            self._run(batch)

    def _next_batch(self) -> Batch | None:
        """Wait for a batch to run; None once the batcher is closed and nothing waits."""
        with self._changed:
            while True:
                self._drop_cancelled()
                now = time.monotonic()
                waiting = tuple(self._waiting.values())
                batch = choose_batch(waiting, self._rule, now, is_draining=self._is_closed)
                if batch is not None:
                    for request in batch.requests:
                        del self._waiting[request.number]
                    return batch
                if self._is_closed:
                    return None
                first = min((due(request, self._rule) for request in waiting), default=None)
                self._changed.wait(None if first is None else max(0.0, first - now))

    def _drop_cancelled(self) -> None:
        for number in [number for number in self._waiting if self._given[number][1].cancelled()]:
            self._given.pop(number)[1].set_running_or_notify_cancel()
            del self._waiting[number]

    def _run(self, batch: Batch) -> None:
        taken = []
        for request in batch.requests:
            array, future = self._given.pop(request.number)
            if future.set_running_or_notify_cancel():
                taken.append((request, array, future))
        if not taken:
            return
        try:
            self._answer(batch, taken)
        except BaseException as error:
            may_part = isinstance(error, TrtforgeError | ValueError) and not isinstance(
                error, DeviceLostError
            )
            if len(taken) == 1 or not may_part:
                for _, _, future in taken:
                    future.set_exception(error)
                return
            with self._changed:
                self._counts["rows_run_alone"] += len(taken)
            for one in taken:
                try:
                    self._answer(batch, [one])
                except BaseException as own:
                    one[2].set_exception(own)

    def _answer(self, batch: Batch, taken: Sequence[tuple[Request, NDArray[Any], Future[Outputs]]]) -> None:
        """Run requests as one batch and complete their futures, or raise and complete none."""
        length = batch.bucket.num_frames
        first = taken[0][1]
        for _, array, _ in taken[1:]:
            if array.shape[:-1] != first.shape[:-1] or array.dtype != first.dtype:
                raise InputError(
                    f"requests of {first.dtype} {list(first.shape)} and {array.dtype} {list(array.shape)} "
                    "cannot be one batch"
                )
        rows = np.zeros((len(taken), *first.shape[:-1], length), first.dtype)
        for row, (_, array, _) in zip(rows, taken, strict=True):
            row[..., : array.shape[-1]] = array
        frames = [request.num_frames for request, _, _ in taken]
        inputs = {self._input_name: rows}
        if self._lengths_name is not None:
            inputs[self._lengths_name] = np.array(frames, self._lengths_dtype)
        outputs = {name: np.asarray(value) for name, value in self._runner(inputs).items()}
        results = self._parted(outputs, frames)
        with self._changed:
            self._counts["batches"] += 1
            self._counts["rows"] += len(taken)
            self._counts["frames"] += sum(frames)
            self._counts["padded_frames"] += length * len(taken) - sum(frames)
        for (_, _, future), result in zip(taken, results, strict=True):
            future.set_result(result)

    def _parted(self, outputs: Outputs, frames: Sequence[int]) -> list[Outputs]:
        results: list[Outputs] = [{} for _ in frames]
        for name, value in outputs.items():
            if not value.ndim or len(value) != len(frames):
                raise ExecutionError(
                    f"output {name!r} has shape {list(value.shape)} for a batch of {len(frames)} rows",
                    hint="batching needs outputs whose first axis is the batch",
                )
            lengths = self._output_lengths(name, frames) if self._output_lengths else None
            for row, result in enumerate(results):
                # A copy, so that a row that is kept does not keep its batch.
                one = value[row : row + 1]
                result[name] = (one if lengths is None else one[:, : lengths[row]]).copy()
        return results
