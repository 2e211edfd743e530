"""Run a network over clips once and keep the counts of each clip apart."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from trtforge._ort import shared_memory
from trtforge.calibration.activations import ActivationSource
from trtforge.calibration.clip_observations import DEFAULT_MEMORY_BYTES, ClipObservations
from trtforge.calibration.clip_tally import ClipTally
from trtforge.calibration.collect import DEFAULT_ACTIVATION_BYTES, check_feed, check_names
from trtforge.calibration.counting import BatchCounts
from trtforge.calibration.padding import ClipParts, Part
from trtforge.errors import CalibrationError
from trtforge.feeds import Arrays, Feeds, as_feeds
from trtforge.model import ModelSource, load_model, model_digest, model_inputs


def collect_per_clip(
    model: ModelSource,
    feeds: Feeds | Sequence[Arrays],
    tensors: Sequence[str],
    *,
    on_progress: Callable[[int, int], None] | None = None,
    max_nonfinite_share: float = 0.01,
    activation_bytes: int = DEFAULT_ACTIVATION_BYTES,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    model_sha256: str | None = None,
) -> ClipObservations:
    """Count the magnitudes of a network's activations, each clip's apart.

    One pass over the clips, one batch in memory at a time. The counts of all clips merged are those of
    `collect`, save that a clip with a NaN or infinite activation is left out alone, without its batch.

    Parameters
    ----------
    model, tensors, on_progress, max_nonfinite_share, activation_bytes, model_sha256 : as for `collect`.
    feeds : the clips, as inputs of the network, with their ids.
    memory_bytes : counts kept in memory, in bytes; see `ClipObservations`.

    Raises
    ------
    ConfigError : ``max_nonfinite_share`` or ``activation_bytes`` is out of range.
    CalibrationError : as for `collect`; or a feed names no clips, or has several and a tensor that does not
        divide among them.
    InputError : a feed does not fit the inputs of the network.
    ModelError : ONNX Runtime cannot load the network.
    MissingExtraError : ONNX Runtime or Numba is not installed.
    """
    tally, feeds, model = ClipTally(max_nonfinite_share), as_feeds(feeds), load_model(model)
    names = tuple(dict.fromkeys(tensors))
    check_names(model, names)
    inputs = {spec.name: spec for spec in model_inputs(model)}
    parts = ClipParts(model)
    observed = ClipObservations(
        names,
        model_sha256=model_sha256 or model_digest(model),
        feeds_sha256=feeds.digest,
        memory_bytes=memory_bytes,
    )
    with shared_memory(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as executor:
        outputs = [name for name in names if name not in inputs]
        source = ActivationSource(model, outputs, activation_bytes=activation_bytes)
        for feed in feeds:
            check_feed(inputs, feed)
            if not feed.clip_ids:
                raise CalibrationError("a feed names no clips, so that theirs cannot be told apart")
            counts = [BatchCounts() for _ in feed.clip_ids]
            given = {name: feed.arrays[name] for name in names if name in inputs}
            for row, own in enumerate(counts):
                own.add(executor, _of_row(parts.cut(feed, given), row, len(counts)))
            for activations in source.run(feed.arrays, feed.clip_ids, feed.num_frames):
                cut = parts.cut(feed, activations)
                for row, own in enumerate(counts):
                    own.add(executor, _of_row(cut, row, len(counts)))
                # Two segments' activations must never be held at once.
                del activations, cut
            for clip_id, own in zip(feed.clip_ids, counts, strict=True):
                if tally.add((clip_id,), own.faults(names, (clip_id,), inputs), len(feeds)):
                    observed.add(clip_id, own.histograms)
            if on_progress is not None:
                on_progress(tally.num_seen, len(feeds))
        del source
    tally.finish(feeds)
    observed.rejected.update(tally.rejected)
    observed.quiet.update(getattr(feeds, "quiet", {}))
    return observed


def _of_row(cut: Mapping[str, Sequence[Part]], row: int, num_rows: int) -> dict[str, list[Part]]:
    """Take one clip's parts, as those of a batch that is this clip alone."""
    own: dict[str, list[Part]] = {}
    for name, parts in cut.items():
        if num_rows > 1 and any(part.row is None for part in parts):
            raise CalibrationError(
                f"tensor {name!r} does not divide among the {num_rows} clips of a batch",
                hint="feed the clips one by one",
            )
        own[name] = [Part(None, part.values) for part in parts if part.row in (None, row)]
    return own
