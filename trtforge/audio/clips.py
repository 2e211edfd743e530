"""Sets of clips: a manifest, the audio files it names, and what was found wrong with them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from trtforge.audio.clip import Clip, check_duration
from trtforge.audio.decode import MAX_DURATION, decode_audio
from trtforge.audio.manifest import CLIP_SET_HINT
from trtforge.audio.selection import balanced_order, random_order
from trtforge.errors import ClipSetError, ConfigError
from trtforge.units import format_duration

if TYPE_CHECKING:
    from trtforge.audio.feeds import ClipFeeds
    from trtforge.audio.kinds import Features
    from trtforge.audio.rows import Column

AudioLocator: TypeAlias = Callable[[Clip], "Path | bytes"]


class ClipSet(Sequence[Clip]):
    """An immutable sequence of clips whose audio is read when it is asked for.

    `load` is the usual way to one.

    Parameters
    ----------
    clips : at least one clip, ids unique.
    locate : gives a clip's audio file, as path or bytes.
    name : what messages call the set.
    rejected : clips that were refused, by id, with the reason.
    unverified : ids of clips whose file was not checked against a stated SHA-256.

    Raises
    ------
    ClipSetError : there is no clip, or two have the same id.
    """

    def __init__(
        self,
        clips: Iterable[Clip],
        *,
        locate: AudioLocator,
        name: str = "clips",
        rejected: Mapping[str, str] | None = None,
        unverified: Iterable[str] = (),
    ) -> None:
        self._clips = tuple(clips)
        self._by_id = {clip.id: clip for clip in self._clips}
        self._locate = locate
        self._rejected = dict(rejected or {})
        self.name = name
        self.unverified = frozenset(unverified) & self._by_id.keys()
        if not self._clips:
            raise ClipSetError(f"clip set {name!r} has no clips", hint=CLIP_SET_HINT)
        if len(self._by_id) < len(self._clips):
            raise ClipSetError(f"clip set {name!r}: two clips have the same id")

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, verify: bool = True, max_bad_share: float = 0.1
    ) -> ClipSet:
        """Load the set that a manifest names.

        Each clip that cannot be used is set aside in `rejected` with the reason, and the others go on.

        Parameters
        ----------
        path : folder with ``manifest.jsonl``, or the manifest itself.
        verify : hash every file and read its header, and hold both against the manifest. A clip without
            ``sha256`` has nothing to be held against: it is taken and listed in `unverified`. When False, the
            manifest is believed, and a file is opened only for what its line leaves out.
        max_bad_share : share of clips that may be rejected, 0 to 1.

        Raises
        ------
        ClipSetError : there is no set, its manifest is malformed or names files outside its folder, more than
            ``max_bad_share`` of its clips are rejected, or none is left.
        MissingExtraError : soundfile is needed and not installed.
        """
        from trtforge.audio.loading import load_clips

        return load_clips(path, verify=verify, max_bad_share=max_bad_share)

    @classmethod
    def from_datasets(
        cls,
        dataset: Any,
        *,
        audio: str = "audio",
        text: Column | None = "text",
        strata: Sequence[str] | Mapping[str, Column] = (),
        id: Column | None = None,  # noqa: A002 - the manifest's word
        license: str | None = None,  # noqa: A002 - the manifest's word
        root: str | os.PathLike[str] | None = None,
        name: str | None = None,
        max_clips: int | None = None,
        max_rows: int | None = None,
        balance: Sequence[str] = (),
        seed: int = 0,
        keep: Callable[[Mapping[str, Any]], bool] | None = None,
        min_duration: float = 0.0,
        max_duration: float = MAX_DURATION,
        max_bad_share: float = 0.1,
    ) -> ClipSet:
        """Make a set of a Hugging Face ``datasets.Dataset`` or ``datasets.IterableDataset``.

        Audio is never decoded by ``datasets``. Of a ``Dataset``, clips are read again from its rows when
        their audio is asked for. Of an ``IterableDataset``, which gives each row once, the audio
        files of the clips that are kept go to a temporary folder that lives as long as the set; `save` makes
        it last.

        Parameters
        ----------
        dataset : one split of a data set.
        audio : column with audio files: a ``datasets.Audio`` feature, paths as text, or the files' bytes.
        text : column with what is said, or a function of the row; None where nobody wrote it down.
        strata : columns to take as strata, or axis to column or function of the row. A function is given the
            row without its audio. A value that is missing or empty leaves the clip without that axis.
        id : column with ids, or a function of the row; by default the data set's name and the row's number.
        license : under which the clips may be used.
        root : folder from which relative paths in the audio column start.
        name : what messages call the set; the data set's own name by default.
        max_clips : stop after as many clips, or with ``balance`` keep as many of all rows.
        max_rows : rows to look at.
        balance : strata over which the clips that are kept are balanced; see `BalancedReservoir`.
        seed : of the choice that ``balance`` makes.
        keep : False for a row that is to be passed over; it is given the row without its audio.
        min_duration, max_duration : clips that are shorter or longer are passed over, in seconds.
        max_bad_share : share of rows that may be rejected, 0 to 1.

        Raises
        ------
        ClipSetError : more than ``max_bad_share`` of the rows are rejected, or no clip is left.
        ConfigError : a column does not exist, or settings contradict each other.
        MissingExtraError : datasets or soundfile is not installed.
        """
        from trtforge.audio.corpora import read_dataset
        from trtforge.audio.rows import Columns

        axes = dict(strata) if isinstance(strata, Mapping) else {axis: axis for axis in strata}
        return read_dataset(
            dataset,
            Columns(audio, text, axes, id),
            license=license,
            root=None if root is None else Path(root),
            name=name,
            max_clips=max_clips,
            max_rows=max_rows,
            balance=balance,
            seed=seed,
            keep=keep,
            min_duration=min_duration,
            max_duration=max_duration,
            max_bad_share=max_bad_share,
        )

    @classmethod
    def from_nemo(
        cls,
        path: str | os.PathLike[str],
        *,
        strata: Sequence[str] | Mapping[str, str] = (),
        license: str | None = None,  # noqa: A002 - the manifest's word
        max_bad_share: float = 0.1,
    ) -> ClipSet:
        """Make a set of a NeMo manifest.

        ``audio_filepath`` may be absolute or relative to the manifest. A line whose ``offset`` and
        ``duration`` name a part of its file gives a clip of that part alone. A line's ``id`` is the clip's;
        where there is none, the file's name and the line's number are.

        Parameters
        ----------
        path : the manifest.
        strata : keys to take as strata, or axis to key.
        license : under which the clips may be used.
        max_bad_share : share of clips that may be rejected, 0 to 1.

        Raises
        ------
        ClipSetError : the manifest is malformed, repeats an id, or too many of its clips are rejected.
        ConfigError : no line has a key that ``strata`` names; where some lines lack one, a ``RuntimeWarning``
            counts them.
        MissingExtraError : soundfile is not installed.
        """
        from trtforge.audio.nemo import read_nemo

        return read_nemo(path, strata=strata, license=license, max_bad_share=max_bad_share)

    def save(self, path: str | os.PathLike[str]) -> ClipSet:
        """Write the set to a new or empty folder, with the audio files as they are, and load it from there.

        Raises
        ------
        ClipSetError : the folder holds something.
        ClipError : a clip's audio is gone or has changed; the folder is then as it was.
        """
        from trtforge.audio.saving import save_clips

        return ClipSet.load(save_clips(self, self._locate, path))

    def write_nemo(self, path: str | os.PathLike[str]) -> Path:
        """Write a NeMo manifest that names the set's files; id and strata are keys of their own.

        Files below the manifest's folder are named relative to it, others absolutely.

        Raises
        ------
        ClipSetError : a clip's audio is in no file; `save` the set first.
        """
        from trtforge.audio.nemo import write_nemo

        return write_nemo(self, self._locate, path)

    @property
    def rejected(self) -> dict[str, str]:
        """Clips refused when the set was loaded, by id, with the reason; subsets keep the whole list."""
        return dict(self._rejected)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids in the order of the set."""
        return tuple(self._by_id)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the ids and the audio files' SHA-256, sorted by id.

        The order of the clips, their texts and their strata do not enter: they change nothing that is
        observed of a network.
        """
        pairs = sorted((clip.id, clip.sha256) for clip in self)
        return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._clips)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self._clips)

    def __contains__(self, item: object) -> bool:
        return item in self._by_id if isinstance(item, str) else item in self._clips

    @overload
    def __getitem__(self, key: int | str) -> Clip: ...
    @overload
    def __getitem__(self, key: slice) -> ClipSet: ...
    def __getitem__(self, key: int | str | slice) -> Clip | ClipSet:
        if isinstance(key, slice):
            return self._with(self._clips[key])
        if isinstance(key, str):
            return self._find(key)
        return self._clips[key]

    def __repr__(self) -> str:
        total = format_duration(float(self.durations().sum()))
        notes = f", {len(self._rejected)} rejected" if self._rejected else ""
        notes += f", {len(self.unverified)} unverified" if self.unverified else ""
        return f"ClipSet({self.name!r}, {len(self)} clips, {total}{notes}, digest={self.digest[:12]})"

    def durations(self) -> NDArray[np.float64]:
        """Return the clips' durations in seconds, float64 [num_clips]."""
        return np.array([clip.duration for clip in self], np.float64)

    def texts(self) -> dict[str, str]:
        """Return what is said, by id; clips whose text is not known are left out."""
        return {clip.id: clip.text for clip in self if clip.text is not None}

    def strata(self) -> dict[str, dict[str, str]]:
        """Return every clip's strata, by id."""
        return {clip.id: dict(clip.strata) for clip in self}

    def subset(self, ids: Iterable[str]) -> ClipSet:
        """Return the set of these clips, in the order given.

        Raises
        ------
        ClipSetError : an id is not in the set or given twice, or none is given.
        """
        return self._with(self._find(clip_id) for clip_id in ids)

    def where(self, **strata: str | Iterable[str]) -> ClipSet:
        """Return the clips that have these strata, in the order of the set.

        Parameters
        ----------
        strata : the value wanted on an axis, or several of which one must hold.

        Raises
        ------
        ClipSetError : no clip fits.
        """
        wanted = {axis: {value} if isinstance(value, str) else set(value) for axis, value in strata.items()}
        clips = [clip for clip in self if all(clip.strata.get(axis) in wanted[axis] for axis in wanted)]
        if not clips:
            have = {axis: sorted({clip.strata.get(axis, "-") for clip in self}) for axis in wanted}
            asked = ", ".join(f"{axis} in {sorted(values)}" for axis, values in wanted.items())
            raise ClipSetError(f"no clip of {self.name!r} has {asked}", hint=f"the set has {have}")
        return self._with(clips)

    def select(self, count: int, *, by: Sequence[str], seed: int = 0) -> ClipSet:
        """Return some clips, balanced over strata; see `balanced_order`.

        Parameters
        ----------
        count : clips wanted. A smaller count with the same seed gives the beginning of a larger one.
        by : axes whose values' combinations are balanced.
        seed : other seeds take other clips.

        Raises
        ------
        ConfigError : the set has fewer clips, or no clip has one of the axes.
        """
        self._check_count(count)
        return self.subset(balanced_order(self.strata(), by, seed, count=count))

    def sample(self, count: int, *, seed: int = 0) -> ClipSet:
        """Return some clips at random, whatever their strata; otherwise as `select`."""
        self._check_count(count)
        return self.subset(random_order(self.ids, seed)[:count])

    def audio(self, clip: Clip | str, *, sampling_rate: int | None = None) -> NDArray[np.float32]:
        """Decode a clip to mono.

        Parameters
        ----------
        clip : the clip or its id.
        sampling_rate : sampling rate to return, in Hz; the file's own by default.

        Returns
        -------
        float32 [num_samples].

        Raises
        ------
        ClipError : the file cannot be decoded, or is not as long as the manifest says.
        """
        clip = self._find(clip) if isinstance(clip, str) else clip
        rate = clip.sampling_rate if sampling_rate is None else sampling_rate
        audio = decode_audio(self._locate(clip), sampling_rate=rate, clip_id=clip.id)
        check_duration(clip.id, clip.duration, len(audio) / rate)
        return audio

    def feeds(
        self,
        features: Features,
        *,
        batch_size: int = 1,
        short: Literal["reject", "pad"] = "reject",
        max_bad_share: float = 0.1,
    ) -> ClipFeeds:
        """Return the clips as feeds for a network; see `ClipFeeds`."""
        from trtforge.audio.feeds import ClipFeeds

        return ClipFeeds(self, features, batch_size=batch_size, short=short, max_bad_share=max_bad_share)

    def _check_count(self, count: int) -> None:
        if not 1 <= count <= len(self):
            raise ConfigError(f"cannot take {count} clips of {self.name!r}: it has {len(self)}")

    def _with(self, clips: Iterable[Clip]) -> ClipSet:
        return ClipSet(
            clips, locate=self._locate, name=self.name, rejected=self._rejected, unverified=self.unverified
        )

    def _find(self, clip_id: str) -> Clip:
        if clip_id not in self._by_id:
            reason = self._rejected.get(clip_id)
            why = f"it was rejected: {reason}" if reason else f"the set has {len(self)} others"
            raise ClipSetError(f"no clip {clip_id!r} in {self.name!r}; {why}")
        return self._by_id[clip_id]
