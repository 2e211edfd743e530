"""Which combinations of two strata a set of clips covers, and which it does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from trtforge.calibration.orders import Strata
from trtforge.errors import ConfigError


@dataclass(frozen=True)
class Cell:
    """A combination of values of two factors that few clips have, or none.

    Parameters
    ----------
    factors : names of the two factors.
    values : the value of each.
    num_clips : clips that have both.
    """

    factors: tuple[str, str]
    values: tuple[str, str]
    num_clips: int

    def __str__(self) -> str:
        return " and ".join(
            f"{factor} {value}" for factor, value in zip(self.factors, self.values, strict=True)
        )


@dataclass(frozen=True)
class Alias:
    """Two strata that the very same clips have, so that the set cannot tell one from the other.

    Parameters
    ----------
    factors : names of the two factors.
    values : the value of each.
    num_clips : clips that have both; none has one alone.
    """

    factors: tuple[str, str]
    values: tuple[str, str]
    num_clips: int


@dataclass(frozen=True)
class FactorPair:
    """How well the clips cover the combinations of two factors.

    Parameters
    ----------
    factors : names of the two factors.
    num_cells : combinations of their values, those left out that an `Alias` rules out.
    num_empty : combinations that no clip has.
    num_thin : combinations that some clips have, but fewer than asked.
    """

    factors: tuple[str, str]
    num_cells: int
    num_empty: int
    num_thin: int


@dataclass(frozen=True)
class Coverage:
    """The combinations of two strata that lack clips.

    Parameters
    ----------
    min_clips : clips that a combination should have.
    pairs : one entry for each two factors of more than one value.
    cells : the combinations with fewer than ``min_clips``, the emptiest first.
    aliases : strata that the same clips have.
    """

    min_clips: int
    pairs: tuple[FactorPair, ...]
    cells: tuple[Cell, ...]
    aliases: tuple[Alias, ...]


def coverage(strata: Strata, *, min_clips: int = 2) -> Coverage:
    """Find the combinations of two strata that are empty or thin.

    Where the same clips have one value of each of two factors, such as no noise and an infinite
    signal-to-noise ratio, other combinations with either value cannot exist: those are no gaps, and the two
    values are listed as an `Alias`.

    Parameters
    ----------
    strata : clip id to factor to value.
    min_clips : a combination with fewer clips is thin.

    Raises
    ------
    ConfigError : ``min_clips`` is below 1.
    """
    check_min_clips(min_clips)
    pairs: list[FactorPair] = []
    cells: list[Cell] = []
    aliases: list[Alias] = []
    for first, second in combinations(_factors(strata), 2):
        sizes = Counter(
            (values[first], values[second])
            for values in strata.values()
            if first in values and second in values
        )
        alone = [
            Counter(values[name] for values in strata.values() if name in values) for name in (first, second)
        ]
        same = [
            Alias((first, second), (a, b), size)
            for (a, b), size in sizes.items()
            if size == alone[0][a] == alone[1][b]
        ]
        aliases += same
        ruled_out = [{alias.values[side] for alias in same} for side in (0, 1)]
        possible = [
            (a, b)
            for a in sorted(alone[0])
            for b in sorted(alone[1])
            if (a, b) in sizes or not (a in ruled_out[0] or b in ruled_out[1])
        ]
        short = [Cell((first, second), key, sizes[key]) for key in possible if sizes[key] < min_clips]
        num_empty = sum(cell.num_clips == 0 for cell in short)
        pairs.append(FactorPair((first, second), len(possible), num_empty, len(short) - num_empty))
        cells += short
    cells.sort(key=lambda cell: cell.num_clips)
    return Coverage(min_clips, tuple(pairs), tuple(cells), tuple(aliases))


def check_min_clips(min_clips: int) -> None:
    """Raise `ConfigError` unless it is at least 1."""
    if min_clips < 1:
        raise ConfigError(f"min_clips must be at least 1, got {min_clips}", settings=("min_clips",))


def _factors(strata: Strata) -> Iterator[str]:
    # In the order in which they first appear; one with a single value has no combinations to speak of.
    values: dict[str, set[str]] = {}
    for clip in strata.values():
        for factor, value in clip.items():
            values.setdefault(factor, set()).add(value)
    return (factor for factor, seen in values.items() if len(seen) > 1)
