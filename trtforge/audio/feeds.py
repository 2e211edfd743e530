"""Feeds made of clips: decoded, turned into features and padded only while they are iterated."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trtforge.audio._rejection import check_bad_share, refuse_bad_share
from trtforge.audio.clip import Clip
from trtforge.audio.clips import ClipSet
from trtforge.audio.kinds import Features
from trtforge.errors import ClipError, ConfigError
from trtforge.feeds import Feed

QUIET_PEAK = 1e-3
"""Largest magnitude below which all of a clip counts as nearly silent: -60 dBFS."""


class ClipFeeds:
    """A clip set as feeds for a network; can be iterated any number of times.

    One batch is in memory at a time. Rows keep the order of the set, and each batch is padded with zeros,
    after the features, to its longest row; `Feed.num_frames` has the true lengths. A clip that cannot be
    decoded is set aside in `rejected`, and the next one takes its row.

    Parameters
    ----------
    clips : the clips, in the order in which they are fed.
    features : what turns samples into the network's input.
    batch_size : rows of a batch; the last one may have fewer.
    short : what happens to clips shorter than ``features.min_num_samples``: ``"reject"`` sets them aside in
        `rejected`, ``"pad"`` appends silence and notes them in `padded`.
    max_bad_share : share of the clips that may be rejected during one iteration, 0 to 1.

    Raises
    ------
    ConfigError : a setting is out of range.
    """

    def __init__(
        self,
        clips: ClipSet,
        features: Features,
        *,
        batch_size: int = 1,
        short: Literal["reject", "pad"] = "reject",
        max_bad_share: float = 0.1,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
        if short not in ("reject", "pad"):
            raise ConfigError(f'short must be "reject" or "pad", got {short!r}')
        check_bad_share(max_bad_share)
        self.clips = clips
        self.features = features
        self.batch_size = batch_size
        self.short = short
        self.max_bad_share = max_bad_share
        self._rejected: dict[str, str] = {}
        self._padded: dict[str, int] = {}
        self._quiet: dict[str, float] = {}

    @property
    def rejected(self) -> dict[str, str]:
        """Clips left out by the set as it was loaded and by the latest iteration, by id, with the reason."""
        return {**self.clips.rejected, **self._rejected}

    @property
    def padded(self) -> dict[str, int]:
        """Clips too short for the features, by id, with the samples they had before silence was appended."""
        return dict(self._padded)

    @property
    def quiet(self) -> dict[str, float]:
        """Clips fed by the latest iteration that never reach -60 dBFS, by id, with their largest magnitude.

        Full scale is 1. A clip with quiet pauses is none of them, as its loudest sample counts.
        """
        return dict(self._quiet)

    @property
    def digest(self) -> str:
        """SHA-256 over the clips' digest, the features' settings and the treatment of short clips.

        The batch size does not enter: it changes the padding, which is no signal.
        """
        text = f"{self.clips.digest}\n{self.features!r}\n{self.short}"
        return hashlib.sha256(text.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.clips)

    def __repr__(self) -> str:
        settings = f"batch_size={self.batch_size}, short={self.short!r}"
        return f"ClipFeeds({self.clips!r}, {self.features!r}, {settings})"

    def __iter__(self) -> Iterator[Feed]:
        """Yield the batches.

        Raises
        ------
        ClipSetError : more than ``max_bad_share`` of the clips, or all of them, were rejected; the feeds
            yielded before still hold.
        """
        rejected: dict[str, str] = {}
        padded: dict[str, int] = {}
        quiet: dict[str, float] = {}
        self._rejected, self._padded, self._quiet = rejected, padded, quiet
        rows: list[tuple[str, NDArray[np.float32], int]] = []
        for clip in self.clips:
            try:
                audio = self._read(clip, padded)
            except ClipError as error:
                rejected[clip.id] = error.message
                refuse_bad_share(rejected, len(self), self.max_bad_share, self.clips.name)
                continue
            peak = float(np.abs(audio).max(initial=0.0))
            if peak < QUIET_PEAK:
                quiet[clip.id] = peak
            num_frames = self.features.num_frames(padded.get(clip.id, len(audio)))
            rows.append((clip.id, self.features(audio), num_frames))
            if len(rows) == self.batch_size:
                yield self._batch(rows)
                rows = []
        if rows:
            yield self._batch(rows)

    def _read(self, clip: Clip, padded: dict[str, int]) -> NDArray[np.float32]:
        audio = self.clips.audio(clip, sampling_rate=self.features.sampling_rate)
        missing = self.features.min_num_samples - len(audio)
        if missing <= 0:
            return audio
        if self.short == "reject":
            raise ClipError(
                f"clip {clip.id!r}: {len(audio)} samples at {self.features.sampling_rate} Hz, the features "
                f"need {self.features.min_num_samples}",
                clip_id=clip.id,
            )
        padded[clip.id] = len(audio)
        return np.pad(audio, (0, missing))

    def _batch(self, rows: list[tuple[str, NDArray[np.float32], int]]) -> Feed:
        longest = max(values.shape[-1] for _, values, _ in rows)
        shape = (len(rows), *rows[0][1].shape[:-1], longest)
        batch = np.zeros(shape, np.float32)
        for row, (_, values, _) in zip(batch, rows, strict=True):
            row[..., : values.shape[-1]] = values
        return Feed(
            {self.features.input_name: batch},
            clip_ids=tuple(clip_id for clip_id, _, _ in rows),
            num_frames=tuple(num_frames for _, _, num_frames in rows),
        )
