"""Run a network over clips on a GPU and count its activations there: nothing but counts comes back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from trtforge.calibration import Histogram, Observations
from trtforge.calibration.clip_tally import ClipTally
from trtforge.calibration.collect import check_feed, check_names, clip_ids_of
from trtforge.calibration.counting import BatchCounts
from trtforge.calibration.padding import ClipParts, Part
from trtforge.errors import CalibrationError, ConfigError, OutOfMemoryError
from trtforge.feeds import Arrays, Feed, Feeds, as_feeds
from trtforge.model import ModelSource, load_model, model_digest, model_inputs
from trtforge.nvidia import Flavor, require_gpu, select
from trtforge.nvidia.building import BuildRequest, build_plan
from trtforge.nvidia.cuda import Event, Stream, check_last_error, free_memory_bytes, set_device
from trtforge.nvidia.magnitude_tables import Lying
from trtforge.nvidia.magnitudes import Findings, MagnitudeCounter
from trtforge.profiles import triples
from trtforge.runtime.collection_plan import CollectionPlan, plan_collection
from trtforge.runtime.device_batches import DeviceBatch, regroup
from trtforge.runtime.observed_engine import ObservedEngine, StagedInputs

if TYPE_CHECKING:
    import onnx

CollectingPrecision = Literal["float32", "tf32", "float16"]
OnProgress = Callable[[int, int], None]

_INSTEAD = "collect on the CPU, which counts in the same way"
# Of the memory that is free before the engine is there, which needs scratch memory beside it.
_ACTIVATION_SHARE = 0.4
# While one batch is counted the next is being copied.
_NUM_SLOTS = 2


def collect_on_gpu(
    model: ModelSource,
    feeds: Feeds | Sequence[Arrays],
    tensors: Sequence[str],
    *,
    device: int = 0,
    flavor: Flavor | str | None = None,
    precision: CollectingPrecision = "float32",
    max_batch: int | None = None,
    activation_bytes: int | None = None,
    optimization_level: int | None = None,
    on_progress: OnProgress | None = None,
    max_nonfinite_share: float = 0.01,
    model_sha256: str | None = None,
) -> Observations:
    """Count the magnitudes of a network's activations over clips, on a GPU.

    The network is built as a TensorRT engine that shows the observed tensors, and kernels count them where
    they lie. What is counted, and how, is as for `trtforge.calibration.collect`: equal activations give equal
    counts. Activations themselves differ between the two as FP32 arithmetic in another order does.

    Neighbouring feeds of one shape run as one batch, and feeds too large for the memory are cut between
    clips. A feed in which any observed value is NaN or infinite is refused whole, and its clips are listed
    with the reason; of a feed that was cut, each part is judged by itself.

    Parameters
    ----------
    model, feeds, tensors, max_nonfinite_share, model_sha256 : as for `trtforge.calibration.collect`. Where
        the network leaves other axes than the batch open, the feeds are gone through once before for their
        shapes.
    device : CUDA device ordinal.
    flavor : the library to build with, as `trtforge.nvidia.select` takes it.
    precision : ``float32``, which agrees best with ONNX Runtime; ``tf32``, whose products round their factors
        to 10 bits; or ``float16``, for libraries with precision flags, whose tensors are given in half
        precision.
    max_batch : most rows run at once; by default 16, or as many as the largest feed has.
    activation_bytes : bound on the observed tensors of a batch, which stay on the GPU until the next; by
        default 40 % of the free memory.
    optimization_level : of the builder, 0 to 5; None leaves the library's default.
    on_progress : called after each feed with the number of clips run and of all clips.

    Raises
    ------
    NoGpuError : there is no such GPU.
    ConfigError : a setting is out of range, or the library cannot give the precision.
    CalibrationError : a tensor is unknown, not of floating point or not in the engine, it has the clips of a
        batch on another axis than the first, there are no clips, or too many clips give non-finite
        activations. Nothing is returned of what was counted.
    InputError : a feed does not fit the inputs of the network.
    BuildError : the library cannot build the network.
    OutOfMemoryError : not even one clip fits.
    ExecutionError, DeviceLostError : the engine or the kernels failed.
    MissingExtraError : TensorRT, cuda-python or NVRTC is not installed.
    """
    tally = ClipTally(max_nonfinite_share)
    _check_settings(precision, max_batch, activation_bytes)
    require_collecting_gpu(device)
    feeds, model = as_feeds(feeds), load_model(model)
    chosen = flavor if isinstance(flavor, Flavor) else select(flavor)
    names = tuple(dict.fromkeys(tensors))
    check_names(model, names)
    set_device(device)
    plan = plan_collection(
        model,
        feeds,
        names,
        max_batch=max_batch,
        activation_bytes=activation_bytes or int(free_memory_bytes() * _ACTIVATION_SHARE),
        item_share=0.5 if precision == "float16" else 1.0,
    )
    engine = build_observed(
        model, names, plan, flavor=chosen, precision=precision, optimization_level=optimization_level
    )
    with DeviceCollector(model, names, plan, chosen, engine, device=device) as collector:
        collector.run(feeds, tally, on_progress)
        num_clips = tally.finish(feeds)
        return Observations(
            tensors=collector.histograms(),
            model_sha256=model_sha256 or model_digest(model),
            feeds_sha256=feeds.digest,
            num_clips=num_clips,
            rejected=tally.rejected,
        )


def require_collecting_gpu(device: int = 0) -> None:
    """Raise NoGpuError where there is no GPU to collect on."""
    require_gpu("calibrate on", device=device, instead=_INSTEAD, settings=("collect_on",))


def build_observed(
    model: onnx.ModelProto,
    names: Sequence[str],
    plan: CollectionPlan,
    *,
    flavor: Flavor,
    precision: CollectingPrecision = "float32",
    optimization_level: int | None = None,
) -> bytes:
    """Build the engine that shows the named tensors, and return its plan.

    Parameters
    ----------
    model : the network.
    names : tensors to show; inputs among them are there anyway.
    plan : the shapes to accept.
    flavor, precision, optimization_level : as for `collect_on_gpu`.

    Raises
    ------
    ConfigError : the library has no flag for half precision.
    CalibrationError, BuildError, NoGpuError : as for `collect_on_gpu`.
    """
    if precision == "float16" and not flavor.has_precision_flags:
        raise ConfigError(
            f"precision 'float16': {flavor} computes in the types of the network, which are FP32",
            hint="collect in 'tf32', or in 'float32'",
        )
    inputs = {spec.name for spec in model_inputs(model)}
    request = BuildRequest(
        model=model,
        precision="float16" if precision == "float16" else "float32",
        profiles=[triples(profile.shapes) for profile in plan.profiles],
        options={
            **({} if optimization_level is None else {"optimization_level": optimization_level}),
            **({"tf32": False} if precision == "float32" else {}),
        },
        observed=tuple(name for name in names if name not in inputs),
    )
    return build_plan(flavor, request).plan


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


def _check_settings(precision: str, max_batch: int | None, activation_bytes: int | None) -> None:
    if precision not in get_args(CollectingPrecision):
        choices = ", ".join(map(repr, get_args(CollectingPrecision)))
        raise ConfigError(f"precision must be one of {choices}, got {precision!r}")
    for name, value in (("max_batch", max_batch), ("activation_bytes", activation_bytes)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value!r}")
