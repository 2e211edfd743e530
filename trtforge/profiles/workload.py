"""The lengths that an engine will meet, as distinct lengths and how often each occurs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trtforge.errors import ProfileError

_MAX_LENGTH = 2**31 - 1
# Above it neighbouring floats are no longer a frame apart.
_TOO_MUCH = 2**53


@dataclass(frozen=True, eq=False)
class Workload:
    """A histogram of lengths.

    Parameters
    ----------
    lengths : int64 [n], ascending, distinct, 1 to 2**31 - 1, in frames; n is 1 or more.
    counts : int64 [n], positive: items of that length.

    Raises
    ------
    ProfileError : a rule above is broken.
    """

    lengths: NDArray[np.int64]
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name in ("lengths", "counts"):
            values = np.array(getattr(self, name), np.int64)
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        if self.lengths.ndim != 1 or self.lengths.shape != self.counts.shape or not len(self.lengths):
            raise ProfileError(
                "a workload needs one count for each length, "
                f"got {self.counts.shape} for {self.lengths.shape}"
            )
        if self.counts.min() < 1 or (np.diff(self.lengths) < 1).any():
            raise ProfileError("a workload's lengths must ascend and its counts be 1 or more")
        if self.lengths[0] < 1 or self.lengths[-1] > _MAX_LENGTH:
            raise ProfileError(
                f"lengths must be 1 to {_MAX_LENGTH} frames, got {self.lengths[0]} to {self.lengths[-1]}",
                settings=("frame_counts",),
            )

    @classmethod
    def of(cls, source: Workload | Mapping[int, int] | Iterable[int] | ArrayLike) -> Workload:
        """Count lengths given as a list, an array, or a histogram {length: count}.

        Raises
        ------
        ProfileError : there are none, or one is no whole number of 1 or more.
        """
        if isinstance(source, Workload):
            return source
        if isinstance(source, Mapping):
            pairs = [(length, count) for length, count in source.items() if count]
            if not pairs:
                raise ProfileError("a histogram holds no length", settings=("frame_counts",))
            lengths, counts = (_whole(np.asarray(side)) for side in zip(*pairs, strict=True))
            order = np.argsort(lengths)
            return cls(lengths[order], counts[order])
        values = np.asarray(list(source) if not isinstance(source, np.ndarray) else source)  # type: ignore[arg-type]
        return cls(*np.unique(_whole(values), return_counts=True))

    def __len__(self) -> int:
        return int(self.counts.sum())

    @property
    def frames(self) -> int:
        """Sum of all lengths, in frames."""
        return int(self.lengths @ self.counts)

    @property
    def typical(self) -> int:
        """Return the length below which half of all frames lie, so that long items weigh most."""
        reached = np.cumsum(self.lengths * self.counts) >= self.frames / 2
        return int(self.lengths[int(np.argmax(reached))])

    def up_to(self, limit: int) -> tuple[Workload | None, Workload | None]:
        """Split into the items up to ``limit`` frames and those above; None for a side without any."""
        inside = self.lengths <= limit
        return self._where(inside), self._where(~inside)

    def cut(self, limit: int) -> Workload:
        """Cut every item above ``limit`` frames into pieces of that length and one with what is left."""
        whole, rest = np.divmod(self.lengths, limit)
        pieces = np.concatenate([np.full(len(whole), limit), rest])
        counts = np.concatenate([whole * self.counts, self.counts])
        return _gathered(pieces, counts)

    def aligned(self, multiple_of: int) -> Workload:
        """Round every length up to a multiple."""
        return _gathered(-(-self.lengths // multiple_of) * multiple_of, self.counts)

    def quantile(self, share: float) -> int:
        """Return the least length that at least this share of the items does not exceed."""
        reached = np.cumsum(self.counts) >= share * len(self) * (1 - 1e-12)
        return int(self.lengths[int(np.argmax(reached))])

    def _where(self, chosen: NDArray[np.bool_]) -> Workload | None:
        return Workload(self.lengths[chosen], self.counts[chosen]) if chosen.any() else None


def _whole(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return one number or more as int64 [n]; raise ProfileError unless each is a whole number."""
    if values.shape == (0,):
        raise ProfileError("no lengths were given", settings=("frame_counts",))
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise ProfileError(
            f"lengths must be a list of numbers, got {values.dtype} {values.shape}",
            settings=("frame_counts",),
        )
    if not (np.abs(values) < _TOO_MUCH).all() or (values != np.floor(values)).any():
        raise ProfileError("lengths must be whole numbers of frames", settings=("frame_counts",))
    return values.astype(np.int64)


def _gathered(lengths: NDArray[np.int64], counts: NDArray[np.int64]) -> Workload:
    kept = (lengths > 0) & (counts > 0)
    distinct, where = np.unique(lengths[kept], return_inverse=True)
    sums = np.zeros(len(distinct), np.int64)
    np.add.at(sums, where.ravel(), counts[kept])
    return Workload(distinct, sums)
