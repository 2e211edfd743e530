import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtforge.errors import ProfileError
from trtforge.profiles.partition import partitions


def cost_of(cuts, counts, prices):
    edges = (0, *cuts, len(counts))
    return sum(counts[low:high].sum() * prices[high - 1] for low, high in itertools.pairwise(edges))


def brute_force(counts, prices, parts):
    inner = range(1, len(counts))
    return min(cost_of(cuts, counts, prices) for cuts in itertools.combinations(inner, parts - 1))


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), min_size=1, max_size=9),
    st.sampled_from([1.0, 0.37]),
)
def test_the_optimum_is_that_of_trying_everything(rows, unit):
    counts = np.array([count for count, _ in rows])
    prices = unit * np.cumsum([1 + rows[0][1], *(step for _, step in rows[1:])]).astype(float)
    found = partitions(counts, prices, len(rows) + 2)
    assert [len(part.ends) for part in found] == list(range(1, len(rows) + 1))
    for part in found:
        assert part.ends[-1] == len(rows) - 1
        assert part.cost == pytest.approx(brute_force(counts, prices, len(part.ends)), rel=1e-9)
        cuts = [end + 1 for end in part.ends[:-1]]
        assert part.cost == pytest.approx(cost_of(cuts, counts, prices), rel=1e-9)


def test_two_parts_by_hand():
    # One part costs 4 x 10; cutting after the second item costs 2 x 2 + 2 x 10.
    one, two = partitions(np.array([1, 1, 1, 1]), np.array([1.0, 2.0, 9.0, 10.0]), 2)
    assert (one.ends, one.cost) == ((3,), 40.0)
    assert (two.ends, two.cost) == ((1, 3), 24.0)


@pytest.mark.parametrize(
    ("counts", "prices", "message"),
    [
        ([1], [1.0, 2.0], "wanted a price for each count, got 2 for 1"),
        ([1, 0], [1.0, 2.0], "counts and the number of profiles must be 1 or more, got 0 and 3"),
        ([1, 1], [2.0, 1.0], "never fall as lengths grow"),
        ([1, 1], [0.0, 1.0], "positive"),
        ([1, 1], [1.0, np.inf], "finite"),
    ],
)
def test_what_breaks_the_proof_is_refused(counts, prices, message):
    with pytest.raises(ProfileError, match=message):
        partitions(np.array(counts), np.array(prices), 3)
