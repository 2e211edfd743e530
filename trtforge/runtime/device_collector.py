"""Run an engine that shows its tensors over feeds, and count them where they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from trtforge.calibration import Histogram
from trtforge.calibration.clip_tally import ClipTally
from trtforge.calibration.collect import check_feed, clip_ids_of
from trtforge.calibration.counting import BatchCounts
from trtforge.calibration.padding import ClipParts, Part
from trtforge.errors import CalibrationError, OutOfMemoryError
from trtforge.feeds import Feed, Feeds
from trtforge.model import model_inputs
from trtforge.nvidia import Flavor
from trtforge.nvidia.cuda import Event, Stream, check_last_error
from trtforge.nvidia.magnitude_tables import Lying
from trtforge.nvidia.magnitudes import Findings, MagnitudeCounter
from trtforge.runtime.collection_plan import CollectionPlan
from trtforge.runtime.device_batches import DeviceBatch, regroup
from trtforge.runtime.observed_engine import ObservedEngine, StagedInputs

if TYPE_CHECKING:
    import onnx

OnProgress = Callable[[int, int], None]

# While one batch is counted the next is being copied.
_NUM_SLOTS = 2


class DeviceCollector:
    """A loaded engine that counts its observed tensors as feeds run through it.

    Parameters
    ----------
    model : the network that the engine was built from.
    names : observed tensors; where there are none, feeds run and nothing is counted.
    plan : how feeds run.
    flavor, engine, device : the library, the plan that `build_observed` gave, and where to run it.

    Attributes
    ----------
    stream : where the engine runs and its tensors are counted.

    Raises
    ------
    NoGpuError, EngineError, OutOfMemoryError, MissingExtraError, ExecutionError : as for `collect_on_gpu`.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        names: Sequence[str],
        plan: CollectionPlan,
        flavor: Flavor,
        engine: bytes,
        *,
        device: int,
    ) -> None:
        self._names, self._plan = tuple(names), plan
        self._inputs = {spec.name: spec for spec in model_inputs(model)}
        self._parts = ClipParts(model)
        self._pending: deque[tuple[_Slot, DeviceBatch, tuple[Lying, ...]]] = deque()
        with ExitStack() as stack:
            enter = stack.enter_context
            self._engine = enter(ObservedEngine(flavor, engine, self._names, device=device))
            self.stream, self._copies = enter(Stream()), enter(Stream())
            self._counter = (
                enter(MagnitudeCounter(len(self._names), self.stream, device=device)) if names else None
            )
            self._free = [enter(_Slot()) for _ in range(_NUM_SLOTS)]
            # Nothing may be freed that work under way still reads.
            stack.callback(self._synchronize)
            self._resources = stack.pop_all()

    def __enter__(self) -> DeviceCollector:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def run(self, feeds: Feeds, tally: ClipTally, on_progress: OnProgress | None = None) -> None:
        """Run all feeds, and return when all are counted.

        Parameters
        ----------
        feeds : the clips.
        tally : takes account of clips counted and refused.
        on_progress : called after each feed with the number of clips run and of all clips.

        Raises
        ------
        CalibrationError, InputError, OutOfMemoryError, ExecutionError, DeviceLostError : as for
            `collect_on_gpu`.
        """
        separable = self._plan.is_separable
        batches = regroup(self._named(feeds), self._plan.max_rows, joins=separable, cuts=separable)
        for batch in batches:
            while not self._free:
                self._settle(feeds, tally, on_progress)
            self._submit(batch, feeds, tally, on_progress)
        while self._pending:
            self._settle(feeds, tally, on_progress)

    def histograms(self) -> dict[str, Histogram]:
        """Wait for the GPU and return what was counted of each tensor."""
        if self._counter is None:
            return {}
        found = self._counter.magnitudes()
        return {
            name: Histogram(
                counts=found.counts[index],
                exponent=int(found.exponents[index]),
                num_zeros=int(found.num_zeros[index]),
                observed_max=float(found.observed_max[index]),
            )
            for index, name in enumerate(self._names)
        }

    def _named(self, feeds: Feeds) -> Iterator[Feed]:
        for index, feed in enumerate(feeds):
            check_feed(self._inputs, feed)
            yield replace(feed, clip_ids=clip_ids_of(feed, index))

    def _submit(
        self, batch: DeviceBatch, feeds: Feeds, tally: ClipTally, on_progress: OnProgress | None
    ) -> None:
        try:
            self._queue(batch)
        except OutOfMemoryError as error:
            self._make_room()
            halves = batch.halves() if self._plan.is_separable else None
            if halves is None:
                raise OutOfMemoryError(
                    f"clips {', '.join(batch.feed.clip_ids)} do not fit into GPU memory: {error.message}",
                    hint="collect on another GPU, with shorter clips, or on the CPU",
                ) from error
            for half in halves:
                while len(self._free) < _NUM_SLOTS:
                    self._settle(feeds, tally, on_progress)
                self._submit(half, feeds, tally, on_progress)

    def _queue(self, batch: DeviceBatch) -> None:
        slot = self._free[-1]
        slot.inputs.send(self._engine.check(batch.feed.arrays), self._copies, self.stream)
        lying = self._engine.run(slot.inputs, self.stream)
        # Padding is found from shapes alone: arrays of no memory stand for the tensors.
        hollow = {name: np.broadcast_to(np.float32(0), found.shape) for name, found in lying.items()}
        cut = self._parts.cut(batch.feed, hollow)
        tensors = tuple(replace(found, parts=shares(name, cut[name])) for name, found in lying.items())
        if self._counter is not None:
            self._counter.count(tensors, batch.groups, slot.findings)
        slot.done.record(self.stream)
        self._free.pop()
        self._pending.append((slot, batch, tensors))

    def _settle(self, feeds: Feeds, tally: ClipTally, on_progress: OnProgress | None) -> None:
        """Wait for the oldest batch and enter its clips."""
        slot, batch, tensors = self._pending.popleft()
        slot.done.synchronize()
        self._free.insert(0, slot)
        counts = self._nonfinite(slot, tensors)
        first = 0
        for clip_ids in batch.sources:
            of_source = BatchCounts(nonfinite=_rows_between(counts, first, first + len(clip_ids)))
            first += len(clip_ids)
            faults = of_source.faults(self._names, clip_ids, batch.feed.arrays)
            tally.add(clip_ids, faults, len(feeds))
            if on_progress is not None:
                on_progress(tally.num_seen, len(feeds))

    def _nonfinite(
        self, slot: _Slot, tensors: Sequence[Lying]
    ) -> dict[str, list[tuple[int | None, int, int]]]:
        if self._counter is None or not (found := slot.findings.num_nonfinite()).any():
            return {}
        return {
            name: [
                (row, int(found[index, -1 if row is None else row]), int(np.prod(shape)))
                for row, shape in lying.parts
                if found[index, -1 if row is None else row]
            ]
            for index, (name, lying) in enumerate(zip(self._names, tensors, strict=True))
        }

    def _make_room(self) -> None:
        self._synchronize()
        with suppress(OutOfMemoryError):
            check_last_error("forget that memory ran out")
        self._engine.release()
        for slot in self._free:
            slot.inputs.release()

    def _synchronize(self) -> None:
        self._copies.synchronize()
        self.stream.synchronize()


class _Slot:
    """All that one batch in flight needs to itself."""

    def __init__(self) -> None:
        with ExitStack() as stack:
            self.inputs = stack.enter_context(StagedInputs())
            self.findings = stack.enter_context(Findings())
            self.done = stack.enter_context(Event())
            self._resources = stack.pop_all()

    def __enter__(self) -> _Slot:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()


def shares(name: str, parts: Sequence[Part]) -> tuple[tuple[int | None, tuple[int, ...]], ...]:
    """Return each clip's row in a tensor and the shape of what is counted of it, as `Lying` takes them.

    Parameters
    ----------
    name : of the tensor.
    parts : of its clips.

    Raises
    ------
    CalibrationError : the clips of a batch lie on another axis than the first.
    """
    if len(parts) > 1 and parts[0].axis:
        raise CalibrationError(
            f"tensor {name!r} has the clips of a batch on axis {parts[0].axis}; the GPU counts clips apart "
            "that lie on the first",
            hint="feed clips one by one, or collect on the CPU",
        )
    return tuple((part.row, part.values.shape) for part in parts)


def _rows_between(
    counts: dict[str, list[tuple[int | None, int, int]]], first: int, last: int
) -> dict[str, list[tuple[int | None, int, int]]]:
    return {
        name: [
            (None if row is None else row - first, count, size)
            for row, count, size in rows
            if row is None or first <= row < last
        ]
        for name, rows in counts.items()
    }
