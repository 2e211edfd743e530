import numpy as np
import pytest

from tests.calibration.audited import observed
from trtforge.calibration import Convergence, Drift, choose, convergence
from trtforge.calibration.convergence import subset_sizes
from trtforge.errors import CalibrationError, ConfigError


def test_sizes():
    assert subset_sizes(192) == (8, 16, 32, 64, 128, 192)
    assert subset_sizes(64) == (8, 16, 32, 64)
    assert subset_sizes(8) == subset_sizes(8, first=8) == (8,)
    assert subset_sizes(3) == (3,)


def test_drift_of_the_maximum_by_hand():
    # Clip i reaches i + 1 in tensor "a", and 2 always in "b".
    store = observed({f"{i}": {"a": [0.5, i + 1.0], "b": [2.0]} for i in range(20)})
    up, down = [f"{i}" for i in range(20)], [f"{i}" for i in reversed(range(20))]
    found = convergence(store, {"up": [up], "both": [up, down], "few": [up[:10]]}, methods=["max"])
    assert found.num_clips == 20
    assert found.orders == ("up", "both", "few")
    eight, sixteen = found.curve("up", "max")
    assert eight.by_tensor == {"a": pytest.approx(0.6), "b": 0.0}
    assert (eight.num_clips, eight.median, eight.num_orders) == (8, pytest.approx(0.3), 1)
    assert eight.p99 == pytest.approx(0.99 * 0.6)
    assert sixteen.by_tensor["a"] == pytest.approx(0.2)
    assert sixteen.worst_tensor == "a"
    # Drifts 0.6, 0, 0, 0 of two orders and two tensors
    assert found.curve("both", "max")[0].median == 0
    # An order of fewer clips than the set ends with all of its own.
    assert [drift.num_clips for drift in found.curve("few", "max")] == [8, 10]


def test_every_method_at_every_size_is_choosing_over_those_clips():
    rng = np.random.default_rng(1)
    store = observed({f"{i}": {"a": rng.laplace(size=3000)} for i in range(20)})
    order = list(rng.permutation(store.clip_ids))
    found = convergence(store, {"random": [order]})
    assert found.methods == ("entropy", "percentile", "mse", "max")
    for drift in found.drifts:
        part = choose(store.merged(order[: drift.num_clips]), drift.method)["a"].amax
        whole = choose(store.merged(), drift.method)["a"].amax
        assert drift.median == abs(part / whole - 1)


def drift(num_clips, median, p99):
    return Drift("random", "max", num_clips, 1, median, p99, {"a": p99})


@pytest.mark.parametrize(
    ("curve", "enough"),
    [
        ([(0.5, 0.9), (0.009, 0.04), (0.001, 0.01)], 16),
        ([(0.009, 0.04), (0.02, 0.04), (0.001, 0.01)], 32),
        ([(0.001, 0.01), (0.001, 0.01), (0.001, 0.05)], None),
        ([(0.0, 0.0), (0.0, 0.0), (0.0, 0.0)], 8),
    ],
)
def test_enough_means_from_there_on(curve, enough):
    drifts = tuple(drift(8 << i, *values) for i, values in enumerate(curve))
    assert Convergence(64, drifts).enough("random", "max") == enough


def test_refusals():
    store = observed({f"{i}": {"a": [1.0]} for i in range(9)})
    with pytest.raises(ConfigError, match="there is no order in which to take the clips"):
        convergence(store, {})
    with pytest.raises(ConfigError, match="orders of the kind 'random' must all have one length"):
        convergence(store, {"random": [["0"], ["0", "1"]]})
    with pytest.raises(CalibrationError, match="an order of clips names one twice"):
        convergence(store, {"random": [["0", "0"]]})
    with pytest.raises(CalibrationError, match="clip 'x' is not among the 9"):
        convergence(store, {"random": [["x"]]})
