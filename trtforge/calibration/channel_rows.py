"""Sample rows of activations and find the largest magnitude of each channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trtforge._ort import shared_memory
from trtforge.calibration.activations import ActivationSource
from trtforge.calibration.clip_tally import ClipTally
from trtforge.calibration.collect import DEFAULT_ACTIVATION_BYTES, check_feed, check_names, clip_ids_of
from trtforge.calibration.padding import ClipParts
from trtforge.feeds import Feeds
from trtforge.model import model_inputs

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class ChannelRows:
    """What was seen of one tensor whose last axis holds channels.

    Parameters
    ----------
    peaks : float32 [channels], largest magnitude of each channel over one half of the rows seen.
    rows : float32 [num_rows, channels], a uniform sample of the other half, so that what is made of the peaks
        can be judged on rows that they were not taken from. Where one row is all, it serves as both.
    num_seen : number of rows seen.
    """

    peaks: NDArray[np.float32]
    rows: NDArray[np.float32]
    num_seen: int


def collect_channel_rows(
    model: onnx.ModelProto,
    feeds: Feeds,
    tensors: Sequence[str],
    *,
    num_rows: int = 512,
    seed: int = 0,
    activation_bytes: int = DEFAULT_ACTIVATION_BYTES,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, ChannelRows]:
    """Run a network over clips and keep, of each tensor, its channels' peaks and some of its rows.

    Padding is left out, and a batch with values that are not finite is refused, as in `collect`.

    Parameters
    ----------
    model, activation_bytes, on_progress : as for `collect`.
    feeds : the clips, as inputs of the network.
    tensors : names of intermediate results [..., channels].
    num_rows : most rows kept of each tensor.
    seed : of the draw; the same feeds give the same rows.

    Raises
    ------
    CalibrationError, InputError, ModelError : as for `collect`.

    References
    ----------
    P. S. Efraimidis and P. G. Spirakis, "Weighted random sampling with a reservoir", Information Processing
    Letters 97, 2006; here with equal weights.
    """
    names = tuple(dict.fromkeys(tensors))
    check_names(model, names)
    inputs = {spec.name: spec for spec in model_inputs(model)}
    parts, tally = ClipParts(model), ClipTally(0.01)
    samples = {name: _Sample(num_rows, np.random.default_rng([seed, at])) for at, name in enumerate(names)}
    with shared_memory():
        source = ActivationSource(model, names, activation_bytes=activation_bytes)
        for index, feed in enumerate(feeds):
            check_feed(inputs, feed)
            clip_ids = clip_ids_of(feed, index)
            faults: dict[str, str] = {}
            pending = {name: _Sample(num_rows, samples[name].rng) for name in names}
            for activations in source.run(feed.arrays, clip_ids, feed.num_frames):
                for name, cut in parts.cut(feed, activations).items():
                    for part in cut:
                        if np.isfinite(part.values).all():
                            pending[name].add(part.values)
                        else:
                            clip = clip_ids[part.row or 0]
                            faults[clip] = f"tensor {name!r} holds values that are not finite"
                del activations
            if tally.add(clip_ids, faults, len(feeds)):
                for name in names:
                    samples[name].merge(pending[name])
            if on_progress is not None:
                on_progress(tally.num_seen, len(feeds))
        del source
    tally.finish(feeds)
    return {name: sample.result() for name, sample in samples.items()}


class _Sample:
    """The rows with the smallest of equally distributed keys, and the peaks of those with the larger half."""

    def __init__(self, num_rows: int, rng: np.random.Generator) -> None:
        self.rng = rng
        self._num_rows = num_rows
        self._keys = np.zeros(0)
        self._rows: NDArray[np.float32] | None = None
        self._peaks: NDArray[np.float32] | None = None
        self._num_seen = 0

    def add(self, values: NDArray[np.generic]) -> None:
        rows = np.asarray(values, np.float32).reshape(-1, values.shape[-1])
        if len(rows):
            keys = self.rng.random(len(rows))
            order = np.argsort(keys)
            held = order[: -(-len(rows) // 2)]
            for_peaks = order[len(held) :] if len(rows) > 1 else held
            peaks, held = np.abs(rows[for_peaks]).max(axis=0), held[: self._num_rows]
            self._join(keys[held], rows[held], peaks, len(rows))

    def merge(self, other: _Sample) -> None:
        if other._rows is not None and other._peaks is not None:
            self._join(other._keys, other._rows, other._peaks, other._num_seen)

    def result(self) -> ChannelRows:
        assert self._rows is not None and self._peaks is not None  # noqa: S101, PT018 - a clip was counted
        return ChannelRows(self._peaks, self._rows, self._num_seen)

    def _join(
        self, keys: NDArray[np.float64], rows: NDArray[np.float32], peaks: NDArray[np.float32], seen: int
    ) -> None:
        if self._rows is not None and self._peaks is not None:
            keys, rows = np.concatenate([self._keys, keys]), np.concatenate([self._rows, rows])
            peaks = np.maximum(self._peaks, peaks)
        nearest = np.argsort(keys)[: self._num_rows]
        self._keys, self._rows, self._peaks = keys[nearest], rows[nearest], peaks
        self._num_seen += seen
