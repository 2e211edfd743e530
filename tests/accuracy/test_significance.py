import numpy as np
import pytest

from trtforge.accuracy import permutation_test
from trtforge.errors import ConfigError, InputError


def test_by_hand():
    # of the 8 sign patterns of (1, 1, 2) two reach |4|: all plus and all minus
    assert permutation_test([1, 1, 2]) == 2 / 8
    assert permutation_test([1, 1, 2], alternative="greater") == 1 / 8
    # patterns that sum to 2 or more: +1+1+2, -1+1+2, +1-1+2 of 8
    assert permutation_test([1, -1, 2], alternative="greater") == 3 / 8
    assert permutation_test([-1, -1, -2], alternative="greater") == 1.0


def test_clips_that_did_not_change_say_nothing():
    assert permutation_test([0, 0, 0]) == 1.0
    assert permutation_test([0] * 500 + [1] * 7, alternative="greater") == 2**-7


def test_drawn_patterns_agree_with_the_normal_approximation():
    changes = np.random.default_rng(0).normal(0.3, 1, 100)
    drawn = permutation_test(changes, alternative="greater")
    # z = 0.3 * 10 or so; the exact value for these numbers from a million patterns
    precise = permutation_test(changes, alternative="greater", num_permutations=1_000_000, seed=1)
    assert drawn == pytest.approx(precise, abs=0.003)
    assert drawn == permutation_test(changes, alternative="greater")


def test_a_drawn_p_value_is_never_zero():
    assert permutation_test(np.ones(400), num_permutations=999) == 1 / 1000


def test_equal_systems_are_called_different_as_often_as_stated():
    generator = np.random.default_rng(5)
    trials = generator.integers(-1, 2, size=(1000, 40)) * generator.integers(0, 3, size=(1000, 40))
    found = np.mean(
        [permutation_test(row, alternative="greater", num_permutations=500) <= 0.05 for row in trials]
    )
    # three standard errors of a share of 0.05 in 1000 trials
    assert found <= 0.05 + 3 * 0.0069


def test_bad_input_is_refused():
    with pytest.raises(ConfigError, match="at least 100, got 10"):
        permutation_test([1], num_permutations=10)
    with pytest.raises(ConfigError, match="'two_sided' or 'greater', got 'less'"):
        permutation_test([1], alternative="less")
    with pytest.raises(InputError, match=r"one finite number for each clip, got shape \[1, 2\]"):
        permutation_test([[1, 2]])


def test_changes_that_are_no_numbers_are_refused():
    with pytest.raises(InputError, match="one finite number for each clip: could not convert"):
        permutation_test(["a"])
