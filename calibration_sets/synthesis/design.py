"""Which clip gets which conditions: every factor balanced, every pair of values present."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import combinations, product
from random import Random
from typing import Literal, get_args

from calibration_sets.synthesis.voices import ACCENTS

SetName = Literal["podcast_en", "podcast_en_test", "podcast_en_large"]

RATES = ("slow", "normal", "fast")
PITCHES = ("low", "mid", "high")
NOISES = ("none", "babble", "music", "hum", "street")
SNRS = ("clean", "20", "10", "5", "0")
REVERBS = ("dry", "0.3", "0.8")
CHANNELS = ("studio", "telephone", "codec")
LOUDNESSES = ("quiet", "normal", "loud")

NUM_CLIPS: dict[SetName, int] = {"podcast_en": 192, "podcast_en_test": 240, "podcast_en_large": 2688}
# The sets that the repository holds; the large one is built where it is needed.
STORED: tuple[SetName, ...] = ("podcast_en", "podcast_en_test")
# Clips with neither noise, room nor channel: the reference that all others are held against.
NUM_PLAIN: dict[SetName, int] = {"podcast_en": 8, "podcast_en_test": 24, "podcast_en_large": 112}
_FLITE_ACCENTS = ("flite-rms", "flite-slt")
_FLITE_CLIPS_EACH = 20
# The man's voice is not raised to a woman's pitch, nor the woman's lowered to a man's.
_INFEASIBLE = frozenset({("accent", "flite-rms", "pitch", "high"), ("accent", "flite-slt", "pitch", "low")})
# Factors that move together when two clips swap values.
_COLUMNS = (("accent",), ("rate",), ("pitch",), ("noise", "snr"), ("reverb",), ("channel",), ("loudness",))
_PLAIN = {"noise": "none", "snr": "clean", "reverb": "dry", "channel": "studio"}
_STEPS_PER_CLIP = 80
_FORBIDDING = 1e3

_Row = dict[str, str]
_Pair = tuple[str, str, str, str]


@dataclass(frozen=True)
class Strata:
    """The conditions of one clip, in the words that name the strata of a report."""

    accent: str
    rate: str
    pitch: str
    noise: str
    snr: str
    reverb: str
    channel: str
    loudness: str

    @property
    def engine(self) -> str:
        """The speech program, which the accent determines."""
        return "flite" if self.accent.startswith("flite-") else "espeak"

    @property
    def plain(self) -> bool:
        """Whether the clip is clean, dry and of studio quality."""
        return all(getattr(self, factor) == value for factor, value in _PLAIN.items())

    def as_dict(self) -> dict[str, str]:
        """Return all strata by name, the engine among them."""
        return {**asdict(self), "engine": self.engine}


_ORDER = {factor: position for position, factor in enumerate(Strata.__dataclass_fields__)}


def factors(name: SetName) -> dict[str, tuple[str, ...]]:
    """List the factors of a set and the values each takes.

    Parameters
    ----------
    name : one of `NUM_CLIPS`.

    Returns
    -------
    Values by factor, in the order of ``Strata``.
    """
    accents = ACCENTS + (_FLITE_ACCENTS if name == "podcast_en_test" else ())
    values = (accents, RATES, PITCHES, NOISES, SNRS, REVERBS, CHANNELS, LOUDNESSES)
    return dict(zip(Strata.__dataclass_fields__, values, strict=True))


def feasible_pairs(name: SetName) -> Iterator[_Pair]:
    """Yield each (factor, value, factor, value) that some clip must have.

    The ratio is ``clean`` exactly where there is no noise, and no flite voice leaves its range of pitch.
    """
    for (first, values), (second, others) in combinations(factors(name).items(), 2):
        for value, other in product(values, others):
            pair = (first, value, second, other)
            possible = pair not in _INFEASIBLE
            if (first, second) == ("noise", "snr"):
                possible = (value == "none") == (other == "clean")
            if possible:
                yield pair


@cache
def design(name: SetName) -> tuple[Strata, ...]:
    """Lay out the conditions of a set.

    Each factor's values are dealt out in equal numbers, then swapped between clips wherever that evens out
    the counts of pairs. The result depends on nothing but the name.

    Parameters
    ----------
    name : one of `NUM_CLIPS`.

    Returns
    -------
    One ``Strata`` a clip.

    Raises
    ------
    ValueError : the name is unknown.
    """
    if name not in NUM_CLIPS:
        raise ValueError(f"set must be one of {', '.join(get_args(SetName))}, not {name!r}")
    random = Random(f"design of {name}")  # noqa: S311 - reproducible, not secret
    rows = _deal(name, random)
    _even_out(rows, NUM_PLAIN[name], random)
    return tuple(Strata(**row) for row in _shuffled(rows, random))


def _shuffled(items: list[_Row], random: Random) -> list[_Row]:
    keys = [random.random() for _ in items]
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__)]


def _deal(name: SetName, random: Random) -> list[_Row]:
    """Deal rows with balanced factors; the first ones are plain, the noisy ones have all ratios alike."""
    count = NUM_CLIPS[name]
    plain = NUM_PLAIN[name]
    flite = [accent for accent in factors(name)["accent"] if accent in _FLITE_ACCENTS] * _FLITE_CLIPS_EACH
    clean = count - 4 * (count // 5)
    noisy = range(count - clean)
    columns: dict[str, list[_Row]] = {
        "accent": [{"accent": value} for value in flite + _spread(ACCENTS, count - len(flite))],
        # Noises change fastest; the ratio shifts by one from round to round, so that all sixteen combine.
        "noise": [{"noise": "none", "snr": "clean"}] * clean
        + [{"noise": NOISES[1 + i % 4], "snr": SNRS[1 + (i + i // 4) % 4]} for i in noisy],
    }
    for factor in ("rate", "pitch", "reverb", "channel", "loudness"):
        columns[factor] = [{factor: value} for value in _spread(factors(name)[factor], count)]
    for column, values in columns.items():
        kept = [value for value in values if column in _PLAIN and value[column] == _PLAIN[column]][:plain]
        rest = list(values)
        for value in kept:
            rest.remove(value)
        columns[column] = kept + _shuffled(rest, random)
    return [dict(ChainMap(*parts)) for parts in zip(*columns.values(), strict=True)]


def _spread(values: tuple[str, ...], count: int) -> list[str]:
    """Repeat the values in turn, so that their counts differ by one at most."""
    return [values[i % len(values)] for i in range(count)]


def _pairs(row: _Row, column: tuple[str, ...]) -> Iterator[_Pair]:
    """Yield a row's pairs of a factor of the column with one outside it."""
    for factor in column:
        for other in row:
            if other not in column:
                first, second = sorted((factor, other), key=_ORDER.__getitem__)
                yield first, row[first], second, row[second]


class _Balance:
    """Counts of pairs, and the sum of count squared over expected count that swapping brings down."""

    def __init__(self, rows: list[_Row]) -> None:
        self._single = Counter(item for row in rows for item in row.items())
        self._count = Counter(
            (first, row[first], second, row[second])
            for row in rows
            for first, second in combinations(Strata.__dataclass_fields__, 2)
        )

    def swap(self, one: _Row, two: _Row, column: tuple[str, ...]) -> float:
        """Exchange the column's values of two rows; return the change of the sum."""
        change = self._add(one, column, -1) + self._add(two, column, -1)
        for factor in column:
            one[factor], two[factor] = two[factor], one[factor]
        return change + self._add(one, column, 1) + self._add(two, column, 1)

    def _add(self, row: _Row, column: tuple[str, ...], step: int) -> float:
        change = 0.0
        for pair in _pairs(row, column):
            expected = self._single[pair[:2]] * self._single[pair[2:]]
            weight = _FORBIDDING if pair in _INFEASIBLE else 1 / expected
            change += weight * (2 * step * self._count[pair] + 1)
            self._count[pair] += step
        return change


def _even_out(rows: list[_Row], plain: int, random: Random) -> None:
    balance = _Balance(rows)
    for _ in range(_STEPS_PER_CLIP * len(rows)):
        column = _COLUMNS[int(random.random() * len(_COLUMNS))]
        first = plain if column[0] in _PLAIN else 0  # plain rows stay plain
        one, two = (rows[first + int(random.random() * (len(rows) - first))] for _ in range(2))
        if balance.swap(one, two, column) > 0:
            balance.swap(one, two, column)
