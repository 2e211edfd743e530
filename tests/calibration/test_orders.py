from collections import Counter

import numpy as np
import pytest

from trtforge.calibration import only, random_order, stratified_order
from trtforge.errors import ConfigError


def strata(count=96):
    noises, rooms = ("none", "none", "music", "street"), ("dry", "small", "large")
    return {f"{i}": {"noise": noises[i % 4], "room": rooms[i % 3]} for i in range(count)}


def chi_squared(order, known, size):
    total = 0.0
    for factor in ("noise", "room"):
        whole = Counter(known[clip][factor] for clip in order)
        part = Counter(known[clip][factor] for clip in order[:size])
        total += sum(
            (part[v] - size * n / len(order)) ** 2 / (size * n / len(order)) for v, n in whole.items()
        )
    return total


def test_prefixes_have_the_shares_of_the_whole():
    known = strata()
    order = stratified_order(known, seed=3)
    assert sorted(order) == sorted(known)
    for size in (12, 24, 48):
        first = order[:size]
        assert Counter(known[clip]["noise"] for clip in first) == {
            "none": size // 2,
            "music": size // 4,
            "street": size // 4,
        }
        assert set(Counter(known[clip]["room"] for clip in first).values()) == {size // 3}


def test_it_is_nearer_to_proportion_than_chance():
    known = strata()
    ours = np.mean(
        [chi_squared(stratified_order(known, seed=s), known, n) for s in range(5) for n in (7, 17, 31)]
    )
    drawn = np.mean(
        [chi_squared(random_order(known, seed=s), known, n) for s in range(5) for n in (7, 17, 31)]
    )
    assert ours < 0.2 * drawn


def test_seeds_decide_and_repeat():
    known = strata()
    assert (
        stratified_order(known, seed=1) == stratified_order(known, seed=1) != stratified_order(known, seed=2)
    )
    assert random_order(known, seed=1) == random_order(list(known), seed=1) != random_order(known, seed=2)
    assert stratified_order({"a": {}, "b": {}}, seed=0) == random_order(["a", "b"], seed=0)


def test_a_missing_factor_is_a_value_of_its_own():
    known = {f"{i}": {"noise": "music"} if i < 8 else {} for i in range(16)}
    assert sum(not known[clip] for clip in stratified_order(known)[:8]) == 4


def test_only():
    assert len(only(strata(), {"noise": "none", "room": "dry"})) == 16
    with pytest.raises(ConfigError, match="none of 96 clips has the strata noise rain, room dry"):
        only(strata(), {"noise": "rain", "room": "dry"})
