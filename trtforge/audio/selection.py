"""Which clips to take: balanced over strata, at random, or while they stream by.

The orders are pure functions of ids, strata and seed: the order of the clips does not enter, and of two
counts the smaller selection is the beginning of the larger.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from trtforge.errors import ConfigError

Cell: TypeAlias = tuple[str, ...]

UNKNOWN = "-"


def random_order(ids: Iterable[str], seed: int = 0) -> list[str]:
    """Put ids into an order that looks random and depends on nothing but them and the seed.

    Each id is ranked by a hash of its own, so that clips added later leave the others in their order.
    """
    return sorted(ids, key=lambda clip_id: _rank(seed, clip_id))


def balanced_order(
    strata: Mapping[str, Mapping[str, str]], by: Sequence[str], seed: int = 0, *, count: int | None = None
) -> list[str]:
    """Put clips into an order every beginning of which is as balanced as the clips allow.

    A cell is a combination of values on the axes ``by``. The next clip is always of the cell with the fewest
    clips so far that has one left; among those, of the cell whose values were taken least, summed over the
    axes; then at random. So cells that have enough clips differ by at most one, and where there are
    more cells than clips asked for, the axes are balanced singly.

    Parameters
    ----------
    strata : axis to value of each clip, by id. A clip without an axis has the value ``"-"`` there.
    by : the axes.
    seed : other seeds take other clips of the same cells.
    count : clips wanted; all by default.

    Raises
    ------
    ConfigError : no axis is named, or no clip has an axis that is.
    """
    waiting: dict[Cell, list[str]] = defaultdict(list)
    for clip_id in reversed(random_order(strata, seed)):
        waiting[cell_of(strata[clip_id], by)].append(clip_id)
    _check_axes(strata, by)
    tie = {cell: _rank(seed, *cell) for cell in waiting}
    taken: Counter[Cell] = Counter()
    values: Counter[tuple[str, str]] = Counter()
    order: list[str] = []
    while waiting and len(order) != count:
        cell = min(
            waiting,
            key=lambda c: (taken[c], sum(values[pair] for pair in zip(by, c, strict=True)), tie[c]),
        )
        order.append(waiting[cell].pop())
        taken[cell] += 1
        values.update(zip(by, cell, strict=True))
        if not waiting[cell]:
            del waiting[cell]
    return order


def cell_of(strata: Mapping[str, str], by: Sequence[str]) -> Cell:
    """Return a clip's values on some axes, ``"-"`` where it has none."""
    return tuple(strata.get(axis, UNKNOWN) for axis in by)


class BalancedReservoir:
    """Keep a bounded number of clips of a stream, balanced over cells whose sizes nobody knows.

    While there is room, every clip is kept. Then one of a cell that was never the largest replaces a random
    clip of the largest cell; one of a cell that was, replaces a random clip of its own cell as often as
    makes every clip of that cell equally likely to stay.

    Parameters
    ----------
    capacity : number of clips kept.
    seed : of the random choices.

    References
    ----------
    A. Chrysakis and M.-F. Moens, "Online Continual Learning from Imbalanced Data", ICML 2020, algorithm 1.
    J. S. Vitter, "Random Sampling with a Reservoir", ACM TOMS 11(1), 1985.
    """

    def __init__(self, capacity: int, seed: int = 0) -> None:
        if capacity < 1:
            raise ConfigError(f"a reservoir holds at least one clip, got capacity {capacity}")
        self.capacity = capacity
        self._random = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self._kept: dict[Cell, list[str]] = defaultdict(list)
        self._seen: Counter[Cell] = Counter()
        self._full: set[Cell] = set()
        self._num_kept = 0

    def offer(self, clip_id: str, cell: Cell) -> tuple[bool, str | None]:
        """Offer a clip of the stream.

        Returns
        -------
        Whether the clip is kept, and the id of the clip that gives way to it, None where there was room.
        """
        self._seen[cell] += 1
        if self._num_kept < self.capacity:
            self._kept[cell].append(clip_id)
            self._num_kept += 1
            if self._num_kept == self.capacity:
                self._note_full()
            return True, None
        if cell in self._full:
            if self._random.random() * self._seen[cell] >= len(self._kept[cell]):
                return False, None
            victims = self._kept[cell]
        else:
            largest = max(len(kept) for kept in self._kept.values())
            cells = [name for name, kept in self._kept.items() if len(kept) == largest]
            victims = self._kept[cells[int(self._random.random() * len(cells))]]
        gone = victims.pop(int(self._random.random() * len(victims)))
        self._kept[cell].append(clip_id)
        self._note_full()
        return True, gone

    def _note_full(self) -> None:
        largest = max(len(kept) for kept in self._kept.values())
        self._full |= {cell for cell, kept in self._kept.items() if len(kept) == largest}


def _check_axes(strata: Mapping[str, Mapping[str, str]], by: Sequence[str]) -> None:
    known = {axis for values in strata.values() for axis in values}
    missing = [axis for axis in by if axis not in known]
    if missing or not by:
        raise ConfigError(
            f"cannot balance over {', '.join(map(repr, missing)) or 'no axis'}: no clip has such a stratum",
            hint=f"the clips' axes are {', '.join(sorted(known)) or 'none'}",
        )


def _rank(seed: int, *names: str) -> bytes:
    return hashlib.sha256("\0".join((str(seed), *names)).encode()).digest()
