"""Run a network over clips and count its activations: one streaming pass, nothing kept but counts."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from trtforge._ort import shared_memory
from trtforge.calibration.activations import ActivationSource
from trtforge.calibration.clip_tally import ClipTally
from trtforge.calibration.counting import BatchCounts
from trtforge.calibration.observations import Observations
from trtforge.calibration.observers import Observer
from trtforge.calibration.padding import ClipParts
from trtforge.errors import CalibrationError, InputError
from trtforge.feeds import Arrays, Feed, Feeds, as_feeds
from trtforge.model import ModelSource, TensorSpec, load_model, model_digest, model_inputs

if TYPE_CHECKING:
    import onnx

DEFAULT_ACTIVATION_BYTES = 400_000_000


def collect(
    model: ModelSource,
    feeds: Feeds | Sequence[Arrays],
    tensors: Sequence[str],
    *,
    on_progress: Callable[[int, int], None] | None = None,
    max_nonfinite_share: float = 0.01,
    activation_bytes: int = DEFAULT_ACTIVATION_BYTES,
    model_sha256: str | None = None,
) -> Observations:
    """Count the magnitudes of a network's activations over clips.

    The network runs in ONNX Runtime on the CPU, each tensor computed once and dropped when counted. Where the
    observed tensors of a batch would exceed ``activation_bytes``, the network is cut at narrow places into
    segments that run one after another. Padding is left out by the true lengths of the feeds. A batch in
    which any observed value is NaN or infinite is refused whole, and its clips are listed with the reason.

    Parameters
    ----------
    model : the network, or its path; not changed, and of any size, as no two segments hold the same large
        weights.
    feeds : the clips, as inputs of the network, or a list of mappings of input name to array.
    tensors : names of inputs or intermediate results of the network, of floating point.
    on_progress : called after each batch with the number of clips run and of all clips.
    max_nonfinite_share : largest share of clips with non-finite activations, 0 to 1.
    activation_bytes : bound on the activations of one batch held at once, on top of what the network needs to
        run. A single node whose tensors exceed it is allowed. It does not depend on the number of clips.
    model_sha256 : digest to record; that of ``model`` by default.

    Raises
    ------
    ConfigError : ``max_nonfinite_share`` or ``activation_bytes`` is out of range.
    CalibrationError : a tensor is unknown or not of floating point, there are no clips, the network fails on
        a batch, or too many clips give non-finite activations. Nothing is returned of what was counted.
    InputError : a feed does not fit the inputs of the network.
    ModelError : the file is no network, or ONNX Runtime cannot load it.
    MissingExtraError : ONNX Runtime or Numba is not installed.
    """
    tally, feeds, model = ClipTally(max_nonfinite_share), as_feeds(feeds), load_model(model)
    names = tuple(dict.fromkeys(tensors))
    check_names(model, names)
    inputs = {spec.name: spec for spec in model_inputs(model)}
    outputs = [name for name in names if name not in inputs]
    parts = ClipParts(model)
    totals = {name: Observer() for name in names}
    with shared_memory(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as executor:
        source = ActivationSource(model, outputs, activation_bytes=activation_bytes)
        for index, feed in enumerate(feeds):
            check_feed(inputs, feed)
            clip_ids = clip_ids_of(feed, index)
            counts = BatchCounts()
            given = {name: feed.arrays[name] for name in names if name in inputs}
            counts.add(executor, parts.cut(feed, given))
            for activations in source.run(feed.arrays, clip_ids, feed.num_frames):
                counts.add(executor, parts.cut(feed, activations))
                # Two segments' activations must never be held at once.
                del activations
            if tally.add(clip_ids, counts.faults(names, clip_ids, inputs), len(feeds)):
                for name in names:
                    totals[name].merge(counts.histograms[name])
            if on_progress is not None:
                on_progress(tally.num_seen, len(feeds))
        del source
    num_clips = tally.finish(feeds)
    return Observations(
        tensors={name: observer.histogram() for name, observer in totals.items()},
        model_sha256=model_sha256 or model_digest(model),
        feeds_sha256=feeds.digest,
        num_clips=num_clips,
        rejected=tally.rejected,
    )


def check_names(model: onnx.ModelProto, names: Sequence[str]) -> None:
    """Refuse names that are no tensors of the network, with `CalibrationError`."""
    if not names:
        raise CalibrationError("no tensors to observe were named", hint="name at least one activation")
    known = {spec.name for spec in model_inputs(model)}
    known |= {output for node in model.graph.node for output in node.output if output}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.4)
            raise CalibrationError(
                f"the network has no tensor {name!r} to observe"
                + (f"; the nearest are {', '.join(map(repr, near))}" if near else ""),
                hint="name inputs of the network or outputs of its nodes",
            )


def check_feed(inputs: Mapping[str, TensorSpec], feed: Feed) -> None:
    """Refuse a feed whose arrays are not the network's inputs in name, dtype and shape, with `InputError`."""
    takes = f"the network takes {'; '.join(map(str, inputs.values()))}"
    if unknown := sorted(feed.arrays.keys() - inputs.keys()):
        raise InputError(f"a feed has an input {unknown[0]!r} that the network does not have; {takes}")
    if missing := sorted(inputs.keys() - feed.arrays.keys()):
        raise InputError(f"a feed lacks the input {missing[0]!r}; {takes}")
    for name, array in feed.arrays.items():
        spec = inputs[name]
        fits = len(spec.shape) == array.ndim and all(
            isinstance(want, str) or want == have for want, have in zip(spec.shape, array.shape, strict=True)
        )
        if not fits or str(array.dtype) != spec.dtype:
            raise InputError(f"a feed gives {name!r} as {array.dtype} {list(array.shape)}; {takes}")


def clip_ids_of(feed: Feed, index: int) -> tuple[str, ...]:
    """Return the ids of a feed's clips, made up from its position where it names none."""
    return feed.clip_ids or tuple(f"batch-{index}-row-{row}" for row in range(len(feed.num_frames) or 1))
