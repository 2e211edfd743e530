from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from trtforge.audio import BalancedReservoir, ClipSet, balanced_order, random_order
from trtforge.errors import ConfigError

# 8 of a, 4 of b, 2 of c, 1 of d.
SIZES = {"a": 8, "b": 4, "c": 2, "d": 1}
UNEVEN = {f"{accent}{i}": {"accent": accent} for accent, size in SIZES.items() for i in range(size)}


def counts(order: list[str]) -> list[int]:
    return sorted(Counter(clip_id[0] for clip_id in order).values(), reverse=True)


def test_every_beginning_is_as_balanced_as_the_cells_allow() -> None:
    order = balanced_order(UNEVEN, ["accent"], seed=5)
    assert sorted(order) == sorted(UNEVEN)
    assert counts(order[:4]) == [1, 1, 1, 1]
    assert counts(order[:7]) == [2, 2, 2, 1]
    assert counts(order[:9]) == [3, 3, 2, 1]
    assert counts(order[:13]) == [6, 4, 2, 1]


def test_the_order_of_the_clips_does_not_enter_and_the_seed_does() -> None:
    shuffled = list(UNEVEN.items())
    random.Random(3).shuffle(shuffled)  # noqa: S311
    assert balanced_order(dict(shuffled), ["accent"]) == balanced_order(UNEVEN, ["accent"])
    assert random_order(reversed(list(UNEVEN))) == random_order(UNEVEN)
    assert random_order(UNEVEN, 1) != random_order(UNEVEN, 2)
    assert balanced_order(UNEVEN, ["accent"], 1) != balanced_order(UNEVEN, ["accent"], 2)
    assert balanced_order(UNEVEN, ["accent"], count=5) == balanced_order(UNEVEN, ["accent"])[:5]


def test_fewer_clips_than_cells_balance_each_axis() -> None:
    strata = {
        f"{accent}{noise}{i}": {"accent": str(accent), "noise": str(noise)}
        for accent in range(8)
        for noise in range(4)
        for i in range(3)
    }
    order = balanced_order(strata, ["accent", "noise"], seed=1)
    assert Counter(clip_id[0] for clip_id in order[:8]) == dict.fromkeys("01234567", 1)
    assert Counter(clip_id[1] for clip_id in order[:8]) == dict.fromkeys("0123", 2)
    assert set(Counter(clip_id[:2] for clip_id in order[:64]).values()) == {2}


def test_clips_without_an_axis_are_a_cell_of_their_own() -> None:
    strata: dict[str, dict[str, str]] = {"a": {"noise": "hum"}, "b": {"noise": "hum"}, "c": {}}
    assert set(balanced_order(strata, ["noise"])[:2]) & {"c"} == {"c"}


@pytest.mark.parametrize(("by", "says"), [(["mood"], "'mood'"), ([], "no axis")])
def test_an_axis_that_nobody_has_is_refused(by: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot balance over {says}.*\nhint: the clips' axes are accent"):
        balanced_order(UNEVEN, by)


def test_select_and_sample(make_set: Callable[..., Path]) -> None:
    clips = ClipSet.load(make_set(12))
    chosen = clips.select(6, by=("noise", "snr"), seed=4)
    assert len({tuple(sorted(clip.strata.items())) for clip in chosen}) == 6
    assert clips.select(3, by=("noise", "snr"), seed=4).ids == chosen.ids[:3]
    assert clips.sample(12).ids != clips.ids
    assert clips.sample(5, seed=9).ids == clips.sample(12, seed=9).ids[:5]
    with pytest.raises(ConfigError, match="cannot take 13 clips of 'tones': it has 12"):
        clips.select(13, by=("noise",))
    with pytest.raises(ConfigError, match="cannot take 0 clips"):
        clips.sample(0)


def test_the_reservoir_balances_a_stream_of_uneven_cells() -> None:
    stream = [("common", i) for i in range(900)] + [("rare", i) for i in range(60)] + [("single", 0)]
    random.Random(0).shuffle(stream)  # noqa: S311
    reservoir = BalancedReservoir(40, seed=2)
    kept: set[tuple[str, int]] = set()
    names = {f"{cell}-{i}": (cell, i) for cell, i in stream}
    for name, (cell, i) in names.items():
        is_kept, gone = reservoir.offer(name, (cell,))
        if is_kept:
            kept.add((cell, i))
        if gone is not None:
            kept.remove(names[gone])
    sizes = Counter(cell for cell, _ in kept)
    assert sum(sizes.values()) == 40
    assert sizes["single"] == 1
    assert abs(sizes["common"] - sizes["rare"]) <= 1


def test_of_one_cell_every_clip_is_as_likely_to_stay() -> None:
    stays: Counter[int] = Counter()
    for seed in range(2000):
        reservoir = BalancedReservoir(2, seed)
        kept: set[str] = set()
        for i in range(8):
            is_kept, gone = reservoir.offer(str(i), ("all",))
            kept = (kept | ({str(i)} if is_kept else set())) - {gone or ""}
        stays.update(map(int, kept))
    # 2 of 8 in 2000 runs: 500 each, with a standard deviation of 19.
    assert all(abs(stays[i] - 500) < 80 for i in range(8))


def test_a_reservoir_holds_something() -> None:
    with pytest.raises(ConfigError, match="at least one clip, got capacity 0"):
        BalancedReservoir(0)
