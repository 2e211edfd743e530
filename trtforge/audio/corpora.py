"""Clip sets out of Hugging Face data sets, whether they lie on disk or are streamed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtforge._optional import require
from trtforge.audio._rejection import check_bad_share, refuse_bad_share
from trtforge.audio.clip import Clip
from trtforge.audio.clips import ClipSet
from trtforge.audio.decode import MAX_DURATION
from trtforge.audio.rows import Columns, RowError, RowReader, read_cell
from trtforge.audio.selection import BalancedReservoir, cell_of
from trtforge.audio.spool import Spool
from trtforge.errors import ClipSetError, ConfigError


def read_dataset(
    dataset: Any,
    columns: Columns,
    *,
    license: str | None = None,  # noqa: A002 - the manifest's word
    root: Path | None = None,
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
    """Make a clip set of a data set; `ClipSet.from_datasets` documents the parameters."""
    check_bad_share(max_bad_share)
    if balance and max_clips is None:
        raise ConfigError("balance says which max_clips clips are kept; name max_clips too")
    for setting, value in (("max_clips", max_clips), ("max_rows", max_rows)):
        if value is not None and value < 1:
            raise ConfigError(f"{setting} must be at least 1, got {value}", settings=(setting,))
    if unknown := sorted(set(balance) - columns.strata.keys()):
        raise ConfigError(
            f"balance names {', '.join(map(repr, unknown))}, which strata does not; it names "
            f"{', '.join(map(repr, columns.strata)) or 'none'}",
            settings=("balance", "strata"),
        )
    dataset = _prepare(dataset, columns)
    name = name or str(getattr(getattr(dataset, "info", None), "dataset_name", None) or "dataset")
    reader = RowReader(columns, _class_names(dataset), license, root, name)
    indexed = hasattr(dataset, "__len__")
    keeper = _Keeper(None if indexed else Spool(), max_clips, tuple(balance), seed)
    num_rows = 0
    for index, table in itertools.islice(enumerate(dataset), max_rows):
        if keeper.is_done(max_bad_share):
            break
        num_rows += 1
        row = table.to_pylist()[0]
        cell = row.pop(columns.audio, None)
        if keep is not None and not keep(row):
            continue
        try:
            clip, source = reader.read(row, cell, index)
        except RowError as error:
            keeper.reject(error.clip_id, error.reason)
            continue
        if not min_duration <= clip.duration <= max_duration:
            continue
        keeper.offer(clip, source, index)
    if not keeper.rejected and not keeper.num_good:
        raise ClipSetError(
            f"no clip is left of the data set {name!r}: of {num_rows} rows, all were passed over by keep or "
            f"for lasting less than {min_duration:g} s or more than {max_duration:g} s"
            if num_rows
            else f"the data set {name!r} has no rows"
        )
    refuse_bad_share(keeper.rejected, len(keeper.rejected) + keeper.num_good, max_bad_share, name)
    rows = dict(sorted(keeper.rows.items(), key=lambda item: item[1]))
    clips = [keeper.clips[clip_id] for clip_id in rows]
    locate = keeper.spool or _RowLocator(dataset.select_columns([columns.audio]), columns.audio, root, rows)
    return ClipSet(
        clips, locate=_Locator(locate), name=name, rejected=keeper.rejected, unverified=(c.id for c in clips)
    )


class _Keeper:
    """Decides which clips stay, and holds the audio of those that no row gives back."""

    def __init__(
        self, spool: Spool | None, max_clips: int | None, balance: tuple[str, ...], seed: int
    ) -> None:
        self.spool = spool
        self.max_clips = max_clips
        self.balance = balance
        self.reservoir = BalancedReservoir(max_clips, seed) if balance and max_clips else None
        self.clips: dict[str, Clip] = {}
        self.rows: dict[str, int] = {}
        self.rejected: dict[str, str] = {}
        self.num_good = 0

    def is_done(self, max_bad_share: float) -> bool:
        if self.max_clips is None or self.reservoir is not None:
            return False
        # More bad rows than any number of good ones up to max_clips could still make up for.
        hopeless = len(self.rejected) > max_bad_share * (len(self.rejected) + self.max_clips)
        return hopeless or len(self.clips) == self.max_clips

    def reject(self, clip_id: str, reason: str) -> None:
        self.rejected[clip_id] = reason

    def offer(self, clip: Clip, source: Path | bytes, row: int) -> None:
        if clip.id in self.clips:
            self.reject(
                f"{clip.id} (row {row})", f"id {clip.id!r} was used before, by row {self.rows[clip.id]}"
            )
            return
        self.num_good += 1
        if self.reservoir is not None:
            kept, gone = self.reservoir.offer(clip.id, cell_of(clip.strata, self.balance))
            if not kept:
                return
            if gone is not None:
                del self.clips[gone], self.rows[gone]
                if self.spool is not None:
                    self.spool.discard(gone)
        self.clips[clip.id] = clip
        self.rows[clip.id] = row
        if self.spool is not None and isinstance(source, bytes):
            self.spool.write(clip.id, source)


@dataclass(frozen=True)
class _RowLocator:
    dataset: Any
    audio: str
    root: Path | None
    rows: Mapping[str, int]

    def __call__(self, clip: Clip) -> Path | bytes:
        (row,) = self.dataset[self.rows[clip.id]].to_pylist()
        return read_cell(row[self.audio], self.root, clip.id)


@dataclass(frozen=True)
class _Locator:
    otherwise: Callable[[Clip], Path | bytes]

    def __call__(self, clip: Clip) -> Path | bytes:
        return Path(clip.path) if clip.path else self.otherwise(clip)


def _prepare(dataset: Any, columns: Columns) -> Any:
    """Check the columns and ask for Arrow tables: other formats decode audio, which takes torchcodec."""
    if isinstance(dataset, Mapping):
        raise ConfigError(
            f"a data set of several splits was given: {', '.join(map(str, dataset))}",
            hint='pass one, such as dataset["test"]',
        )
    require("datasets", "read data sets")
    if not (hasattr(dataset, "features") and hasattr(dataset, "with_format")):
        raise ConfigError(
            f"a data set was wanted, got {type(dataset).__name__}",
            hint='pass a datasets.Dataset, such as datasets.load_dataset("edinburghcstr/edacc")["test"]',
        )
    features = dataset.features
    if features is not None:
        missing = sorted(set(columns.names()) - set(features))
        if missing:
            raise ConfigError(
                f"the data set has no column {', '.join(map(repr, missing))}; "
                f"its columns are {', '.join(features)}",
                hint="say which columns hold the audio, the text and the strata",
            )
    return dataset.with_format("arrow")


def _class_names(dataset: Any) -> dict[str, Callable[[int], str]]:
    features = dataset.features or {}
    return {name: f.int2str for name, f in features.items() if hasattr(f, "int2str")}
