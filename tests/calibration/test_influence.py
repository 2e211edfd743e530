import pytest

from tests.calibration.audited import observed, two_tensors
from trtforge.calibration import choose
from trtforge.calibration.influence import Influence, influences


@pytest.mark.parametrize("method", ["max", "entropy"])
def test_leaving_a_stratum_out_is_choosing_over_the_others(method):
    clips, strata = two_tensors()
    store = observed(clips)
    scales = choose(store.merged(), method)
    found = influences(store, strata, scales)
    assert len(found) == 2 * 4
    for influence in found:
        others = [clip for clip in clips if strata[clip][influence.factor] != influence.value]
        assert influence.amax_without == choose(store.merged(others), method)[influence.tensor].amax
        assert influence.amax == scales[influence.tensor].amax
        assert influence.num_clips == len(clips) - len(others)
    assert abs(found[0].change) == max(abs(influence.change) for influence in found)
    # Every third clip alone makes tensor ``a`` wide; as many at random leave some of them.
    assert (found[0].tensor, found[0].value) == ("a", "loud")
    assert found[0].decides(0.1)
    assert [(i.tensor, i.value) for i in found if i.decides(0.1)] == [("a", "loud")]


def test_more_than_two_values_and_clips_without_one():
    clips = {f"{i}": {"a": [0.1, float(i + 1)]} for i in range(6)}
    strata = {f"{i}": {"part": str(i // 2)} for i in range(5)}
    store = observed(clips)
    found = influences(store, strata, choose(store.merged(), "max"))
    # The clip without a value, the largest, always stays.
    assert {(i.value, i.num_clips, i.amax_without) for i in found} == {
        ("0", 2, 6.0),
        ("1", 2, 6.0),
        ("2", 1, 6.0),
    }
    # Of six maxima, leaving out two at random leaves 4 in the worst case.
    assert 0 < max(i.by_chance for i in found) <= 1 / 3


def test_a_factor_of_one_value_is_passed_over():
    store = observed({"x": {"a": [1.0]}, "y": {"a": [2.0]}})
    scales = choose(store.merged(), "max")
    assert influences(store, {"x": {"f": "1"}, "y": {"f": "1"}}, scales) == ()
    assert influences(store, {}, scales) == ()


def test_change_and_chance():
    influence = Influence("a", "f", "1", 3, amax=4.0, amax_without=3.0, by_chance=0.2)
    assert influence.change == -0.25
    assert influence.decides(0.1)
    assert not influence.decides(0.25)
    assert not Influence("a", "f", "1", 3, amax=4.0, amax_without=3.0, by_chance=0.3).decides(0.1)
