"""Regroup feeds into the batches that a GPU runs at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trtforge.feeds import Feed


@dataclass(frozen=True)
class DeviceBatch:
    """Feeds that run as one.

    Parameters
    ----------
    feed : the arrays of all of them, with the true lengths.
    sources : for each feed the ids of its clips; the clips of all are the rows of the batch, in order.
    """

    feed: Feed
    sources: tuple[tuple[str, ...], ...]

    @property
    def groups(self) -> tuple[int, ...]:
        """For each clip, the first clip of its feed."""
        groups: list[int] = []
        for clip_ids in self.sources:
            groups += [len(groups)] * len(clip_ids)
        return tuple(groups)

    def halves(self) -> tuple[DeviceBatch, DeviceBatch] | None:
        """Return the batch as two, or None where it cannot be cut between clips."""
        if len(self.sources) > 1:
            middle = len(self.sources) // 2
            clips = sum(map(len, self.sources[:middle]))
            parts = self.sources[:middle], self.sources[middle:]
        else:
            (clip_ids,) = self.sources
            clips = len(clip_ids) // 2
            parts = (clip_ids[:clips],), (clip_ids[clips:],)
        num_clips = sum(map(len, self.sources))
        block = rows_per_clip(self.feed, num_clips)
        if block is None or num_clips < 2:
            return None
        first = _rows(self.feed, slice(0, clips), block)
        second = _rows(self.feed, slice(clips, num_clips), block)
        return DeviceBatch(first, parts[0]), DeviceBatch(second, parts[1])


def regroup(feeds: Iterable[Feed], max_rows: int, *, joins: bool, cuts: bool) -> Iterator[DeviceBatch]:
    """Join neighbouring feeds of one shape, and cut those that are too large.

    Parameters
    ----------
    feeds : with the ids of their clips.
    max_rows : most rows of a batch, along the first axis of the inputs.
    joins, cuts : whether feeds may be joined, and cut between clips. A feed that is cut becomes as many.
    """
    waiting: list[Feed] = []
    for feed in feeds:
        pieces = list(_pieces(feed, max_rows)) if cuts else [feed]
        for piece in pieces:
            fits = sum(map(_num_rows, [*waiting, piece])) <= max_rows
            if waiting and not (joins and fits and _can_join(waiting[0], piece)):
                yield _joined(waiting)
                waiting = []
            waiting.append(piece)
    if waiting:
        yield _joined(waiting)


def rows_per_clip(feed: Feed, num_clips: int) -> int | None:
    """Return how many rows of every input are one clip's, or None where that is not certain."""
    sizes = {array.shape[0] if array.ndim else 0 for array in feed.arrays.values()}
    size = sizes.pop()
    return size // num_clips if not sizes and size and size % num_clips == 0 else None


def _num_rows(feed: Feed) -> int:
    return max(array.shape[0] if array.ndim else 1 for array in feed.arrays.values())


def _pieces(feed: Feed, max_rows: int) -> Iterator[Feed]:
    num_clips = len(feed.clip_ids)
    block = rows_per_clip(feed, num_clips)
    step = max(max_rows // block, 1) if block else num_clips
    if block is None or step >= num_clips:
        yield feed
        return
    for start in range(0, num_clips, step):
        yield _rows(feed, slice(start, min(start + step, num_clips)), block)


def _rows(feed: Feed, clips: slice, block: int) -> Feed:
    rows = slice(clips.start * block, clips.stop * block)
    arrays = {name: array[rows] for name, array in feed.arrays.items()}
    return Feed(arrays, feed.clip_ids[clips], feed.num_frames[clips])


def _can_join(first: Feed, other: Feed) -> bool:
    blocks = [rows_per_clip(feed, len(feed.clip_ids)) for feed in (first, other)]
    return blocks[0] is not None and blocks[0] == blocks[1] and _kind(first) == _kind(other)


def _kind(feed: Feed) -> tuple[bool, Mapping[str, tuple[object, ...]]]:
    shapes = {name: (array.dtype, *array.shape[1:]) for name, array in feed.arrays.items()}
    return bool(feed.num_frames), shapes


def _joined(feeds: Sequence[Feed]) -> DeviceBatch:
    sources = tuple(feed.clip_ids for feed in feeds)
    if len(feeds) == 1:
        return DeviceBatch(feeds[0], sources)
    arrays = {name: np.concatenate([feed.arrays[name] for feed in feeds]) for name in feeds[0].arrays}
    frames = tuple(count for feed in feeds for count in feed.num_frames)
    return DeviceBatch(Feed(arrays, sum(sources, ()), frames), sources)
