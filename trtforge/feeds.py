"""Feeds: the named arrays that a network is run on, with the true lengths behind the padding."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import InputError

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Feed:
    """One batch of inputs.

    Parameters
    ----------
    arrays : input name to array; the first axis is the batch where an input has one.
    clip_ids : ids of the clips in the batch, in row order; empty where the arrays are not clips.
    num_frames : true length of each row along the time axis, in frames, int [batch]; empty means that
        nothing is padded.
    """

    arrays: Arrays
    clip_ids: tuple[str, ...] = ()
    num_frames: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.arrays:
            raise InputError("a feed needs at least one named array, got none")


@runtime_checkable
class Feeds(Protocol):
    """A sized source of feeds that can be iterated more than once and says what it is by a digest."""

    @property
    def digest(self) -> str:
        """SHA-256 that changes when any fed value may change."""
        ...

    def __len__(self) -> int:
        """Return the number of clips, not of batches."""
        ...

    def __iter__(self) -> Iterator[Feed]:
        """Yield the feeds in a fixed order."""
        ...


class ArrayFeeds:
    """Feeds over arrays already in memory.

    Parameters
    ----------
    batches : one mapping of input name to array for each batch.

    Raises
    ------
    InputError : there is no batch, one is no mapping, or two name different inputs.
    """

    def __init__(self, batches: Iterable[Arrays]) -> None:
        batches = list(batches)
        for index, batch in enumerate(batches):
            if not isinstance(batch, Mapping):
                raise InputError(
                    f"feed {index} is {type(batch).__name__}, and no mapping of input name to array"
                )
        self._feeds = tuple(
            Feed({name: np.asarray(array) for name, array in batch.items()}, clip_ids=(f"batch-{index}",))
            for index, batch in enumerate(batches)
        )
        if not self._feeds:
            raise InputError("no feeds were given", hint="pass at least one mapping of input name to array")
        names = set(self._feeds[0].arrays)
        for index, feed in enumerate(self._feeds):
            if set(feed.arrays) != names:
                raise InputError(
                    f"feed {index} names inputs {sorted(feed.arrays)}, the first one {sorted(names)}"
                )

    @property
    def digest(self) -> str:
        """SHA-256 over names, dtypes, shapes and values."""
        digest = hashlib.sha256()
        for feed in self._feeds:
            for name in sorted(feed.arrays):
                array = np.ascontiguousarray(feed.arrays[name])
                digest.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
                digest.update(array.tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._feeds)

    def __iter__(self) -> Iterator[Feed]:
        return iter(self._feeds)


def as_feeds(source: Feeds | Sequence[Arrays]) -> Feeds:
    """Take feeds as they are, or make them from a list of mappings of input name to array.

    Raises
    ------
    InputError : the source is neither.
    """
    # A clip set is sized, iterable and has a digest, too, and its feeds are yet to be made.
    if not hasattr(source, "feeds"):
        if isinstance(source, Feeds):
            return source
        if isinstance(source, Iterable) and not isinstance(source, str | os.PathLike):
            return ArrayFeeds(source)
    raise InputError(
        f"feeds were wanted, got {type(source).__name__}",
        hint="pass clips.feeds(features), or a list of mappings of input name to array",
    )
