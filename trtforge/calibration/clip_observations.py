"""What each clip alone gave: one histogram for each clip and tensor, to be merged over any group of clips."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from trtforge.calibration.histogram import NUM_BINS, Histogram
from trtforge.calibration.observations import Observations
from trtforge.calibration.observers import Observer
from trtforge.errors import CalibrationError

DEFAULT_MEMORY_BYTES = 256 << 20


@dataclass(frozen=True)
class _Stored:
    offset: int
    size: int
    dtype: str
    exponent: int
    num_zeros: int
    num_nonfinite: int
    observed_max: float


class ClipObservations:
    """Histograms of every tensor, clip by clip.

    A clip's counts are kept in the smallest unsigned type that holds them, up to the last one that is not
    zero: at most 32 KiB for each clip and tensor, mostly a quarter of it. Up to ``memory_bytes`` they stay in
    memory, beyond that they move to an unnamed temporary file, so that memory stops growing with the clips
    but for some 300 bytes for each clip and tensor.

    Parameters
    ----------
    tensors : names of the observed tensors.
    model_sha256 : digest of the network (`trtforge.model.model_digest`).
    feeds_sha256 : digest of the feeds.
    memory_bytes : counts kept in memory, in bytes.
    """

    def __init__(
        self,
        tensors: Iterable[str],
        *,
        model_sha256: str,
        feeds_sha256: str,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
    ) -> None:
        self.tensors = tuple(tensors)
        self.model_sha256 = model_sha256
        self.feeds_sha256 = feeds_sha256
        self.rejected: dict[str, str] = {}
        self.quiet: dict[str, float] = {}
        self._stored: dict[str, tuple[_Stored, ...]] = {}
        # Closed when this object goes, and never visible under a name.
        self._file = tempfile.SpooledTemporaryFile(max_size=max(memory_bytes, 1))  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._end = 0

    @property
    def clip_ids(self) -> tuple[str, ...]:
        """Ids of the counted clips, in the order in which they came."""
        return tuple(self._stored)

    @property
    def stored_bytes(self) -> int:
        """Bytes that the counts take."""
        return self._end

    def add(self, clip_id: str, histograms: Mapping[str, Histogram]) -> None:
        """Keep what one clip gave.

        Raises
        ------
        CalibrationError : the clip was added before, or the tensors are others; nothing was kept.
        """
        if clip_id in self._stored:
            raise CalibrationError(f"clip {clip_id!r} was observed twice", hint="give every clip its own id")
        if different := sorted(set(self.tensors) ^ set(histograms)):
            raise CalibrationError(
                f"clip {clip_id!r} was observed on other tensors: {different[0]!r} is on one side only"
            )
        self._stored[clip_id] = tuple(self._write(histograms[name]) for name in self.tensors)

    def histogram(self, clip_id: str, tensor: str) -> Histogram:
        """Return the counts of one clip's tensor.

        Raises
        ------
        CalibrationError : the clip or the tensor was not observed.
        """
        if clip_id not in self._stored or tensor not in self.tensors:
            raise CalibrationError(
                f"tensor {tensor!r} of clip {clip_id!r} was not observed; there are {len(self.tensors)} "
                f"tensors of {len(self._stored)} clips"
            )
        return self._read(self._stored[clip_id][self.tensors.index(tensor)])

    def histograms(self, clip_id: str) -> dict[str, Histogram]:
        """Return one clip's counts of every tensor.

        Raises
        ------
        CalibrationError : the clip was not observed.
        """
        if clip_id not in self._stored:
            raise CalibrationError(
                f"clip {clip_id!r} is not among the {len(self._stored)} that were observed"
            )
        return dict(zip(self.tensors, map(self._read, self._stored[clip_id]), strict=True))

    def merged(self, clip_ids: Iterable[str] | None = None) -> Observations:
        """Add up what some clips gave, all of them by default: exactly what `collect` counts on those clips.

        Raises
        ------
        CalibrationError : a clip was not observed.
        """
        observers = {name: Observer() for name in self.tensors}
        num_clips = 0
        for clip_id in self.clip_ids if clip_ids is None else clip_ids:
            num_clips += 1
            for name, histogram in self.histograms(clip_id).items():
                observers[name].merge(histogram)
        return self.as_observations(observers, num_clips)

    def as_observations(
        self, counted: Mapping[str, Observer] | Mapping[str, Histogram], num_clips: int
    ) -> Observations:
        """Name counts that were merged elsewhere after this network and these feeds."""
        return Observations(
            tensors={
                name: item.histogram() if isinstance(item, Observer) else item
                for name, item in counted.items()
            },
            model_sha256=self.model_sha256,
            feeds_sha256=self.feeds_sha256,
            num_clips=num_clips,
            rejected=dict(self.rejected),
        )

    def __len__(self) -> int:
        return len(self._stored)

    def __repr__(self) -> str:
        return (
            f"ClipObservations({len(self)} clips, {len(self.tensors)} tensors, "
            f"rejected={len(self.rejected)}, model={self.model_sha256[:12]})"
        )

    def _write(self, histogram: Histogram) -> _Stored:
        counts = np.trim_zeros(histogram.counts, "b")
        packed = counts.astype(np.min_scalar_type(int(counts.max(initial=0))))
        stored = _Stored(
            self._end,
            packed.nbytes,
            packed.dtype.str,
            histogram.exponent,
            histogram.num_zeros,
            histogram.num_nonfinite,
            histogram.observed_max,
        )
        self._file.seek(self._end)
        self._file.write(packed.tobytes())
        self._end += packed.nbytes
        return stored

    def _read(self, stored: _Stored) -> Histogram:
        self._file.seek(stored.offset)
        packed = np.frombuffer(self._file.read(stored.size), stored.dtype)
        counts = np.zeros(NUM_BINS, np.int64)
        counts[: packed.size] = packed
        return Histogram(counts, stored.exponent, stored.num_zeros, stored.num_nonfinite, stored.observed_max)
