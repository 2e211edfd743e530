"""Run a network over clips and count its activations: one streaming pass, nothing kept but counts."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from trtforge._ort import make_session
from trtforge.calibration.histogram import Histogram
from trtforge.calibration.observations import Observations
from trtforge.calibration.observers import Observer
from trtforge.calibration.padding import Array, ClipParts, Part
from trtforge.errors import CalibrationError, ConfigError, InputError
from trtforge.feeds import Arrays, Feed, Feeds
from trtforge.model import TensorSpec, model_digest, model_inputs

if TYPE_CHECKING:
    import onnx


def collect(
    model: onnx.ModelProto,
    feeds: Feeds,
    tensors: Sequence[str],
    *,
    on_progress: Callable[[int, int], None] | None = None,
    max_nonfinite_share: float = 0.01,
    model_sha256: str | None = None,
) -> Observations:
    """Count the magnitudes of a network's activations over clips.

    The network runs in ONNX Runtime on the CPU with the observed tensors as extra outputs. One batch is in
    memory at a time. Padding is left out by the true lengths of the feeds. A batch in which any observed
    value is NaN or infinite is refused whole, and its clips are listed with the reason.

    Parameters
    ----------
    model : the network.
    feeds : the clips, as inputs of the network.
    tensors : names of inputs or intermediate results of the network, of floating point.
    on_progress : called after each batch with the number of clips run and of all clips.
    max_nonfinite_share : largest share of clips with non-finite activations, 0 to 1.
    model_sha256 : digest to record; that of ``model`` by default.

    Raises
    ------
    ConfigError : ``max_nonfinite_share`` is out of range.
    CalibrationError : a tensor is unknown or not of floating point, there are no clips, the network fails on
        a batch, or too many clips give non-finite activations. Nothing is returned of what was counted.
    InputError : a feed does not fit the inputs of the network.
    MissingExtraError : ONNX Runtime or Numba is not installed.
    """
    if not 0 <= max_nonfinite_share <= 1:
        raise ConfigError(f"max_nonfinite_share must lie in 0 to 1, got {max_nonfinite_share!r}")
    names = tuple(dict.fromkeys(tensors))
    _check_names(model, names)
    inputs = {spec.name: spec for spec in model_inputs(model)}
    outputs = [name for name in names if name not in inputs]
    session = make_session(_with_outputs(model, outputs), purpose="calibrate") if outputs else None
    parts = ClipParts(model)
    totals = {name: Observer() for name in names}
    num_clips, rejected, nonfinite = 0, dict[str, str](), dict[str, str]()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as executor:
        for index, feed in enumerate(feeds):
            _check_feed(inputs, feed)
            clip_ids = _clip_ids(feed, index)
            activations: dict[str, Array] = {name: feed.arrays[name] for name in names if name in inputs}
            if session is not None:
                activations |= _run(session, feed.arrays, outputs, clip_ids)
            histograms, faults = _count(executor, parts.cut(feed, activations), clip_ids)
            if faults:
                nonfinite |= faults
                named = next(iter(faults))
                rejected |= dict.fromkeys(clip_ids, f"in one batch with clip {named!r}, which was refused")
                rejected |= faults
                _check_share(nonfinite, max(len(feeds), 1), max_nonfinite_share)
            else:
                num_clips += len(clip_ids)
                for name, histogram in histograms.items():
                    totals[name].merge(histogram)
            if on_progress is not None:
                on_progress(num_clips + len(rejected), len(feeds))
    _check_share(nonfinite, max(num_clips + len(rejected), 1), max_nonfinite_share)
    unusable = {str(clip): str(reason) for clip, reason in getattr(feeds, "rejected", {}).items()}
    if num_clips == 0:
        raise CalibrationError(
            f"calibration needs at least one clip, got none ({len(unusable) + len(rejected)} were rejected)",
            hint="check that the clip set is not empty and that its files can be read",
        )
    return Observations(
        tensors={name: observer.histogram() for name, observer in totals.items()},
        model_sha256=model_sha256 or model_digest(model),
        feeds_sha256=feeds.digest,
        num_clips=num_clips,
        rejected=unusable | rejected,
    )


def _check_names(model: onnx.ModelProto, names: Sequence[str]) -> None:
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


def _with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    present = {value.name for value in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    return copy


def _check_feed(inputs: dict[str, TensorSpec], feed: Feed) -> None:
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


def _clip_ids(feed: Feed, index: int) -> tuple[str, ...]:
    return feed.clip_ids or tuple(f"batch-{index}-row-{row}" for row in range(len(feed.num_frames) or 1))


def _run(session: Any, arrays: Arrays, outputs: list[str], clip_ids: Sequence[str]) -> dict[str, Array]:
    try:
        results = session.run(outputs, dict(arrays))
    except Exception as error:  # the bindings raise their own unexported kinds
        raise CalibrationError(f"the network fails on clips {', '.join(clip_ids)}: {error}") from error
    return dict(zip(outputs, map(np.asarray, results), strict=True))


def _count(
    executor: Executor, activations: dict[str, list[Part]], clip_ids: Sequence[str]
) -> tuple[dict[str, Histogram], dict[str, str]]:
    """Count one batch by itself; return the histograms, and the clips that are not finite with the reason."""
    counted = executor.map(_count_tensor, activations, activations.values())
    histograms: dict[str, Histogram] = {}
    faults: dict[str, str] = {}
    for name, (histogram, nonfinite) in zip(activations, counted, strict=True):
        histograms[name] = histogram
        for row, count, size in nonfinite:
            for clip in clip_ids if row is None or row >= len(clip_ids) else [clip_ids[row]]:
                faults.setdefault(clip, f"{count} of {size} values of tensor {name!r} are not finite")
    return histograms, faults


def _count_tensor(name: str, parts: list[Part]) -> tuple[Histogram, list[tuple[int | None, int, int]]]:
    observer = Observer()
    nonfinite = []
    for part in parts:
        try:
            tally = observer.observe(part.values)
        except CalibrationError as error:
            raise CalibrationError(f"tensor {name!r} cannot be observed: {error.message}") from None
        if tally.num_nonfinite:
            nonfinite.append((part.row, tally.num_nonfinite, part.values.size))
    return observer.histogram(), nonfinite


def _check_share(nonfinite: dict[str, str], num_clips: int, allowed: float) -> None:
    if len(nonfinite) > allowed * num_clips:
        clip, reason = next(iter(nonfinite.items()))
        raise CalibrationError(
            f"{len(nonfinite)} of {num_clips} clips gave non-finite activations, more than the "
            f"{100 * allowed:g} % allowed; first clip {clip!r}: {reason}",
            hint="look at what the network computes there, or leave these clips out",
        )
