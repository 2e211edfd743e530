"""How rounds are summed up, in numbers that can be checked by hand."""

import pytest

from trtforge.assignment import ChoiceTime
from trtforge.engine.race import Way, race
from trtforge.errors import InputError
from trtforge.ratios import Spread, sum_up


def test_the_quartiles_of_the_rounds_are_kept_at_each_shape():
    found = sum_up({"small": [0.6, 0.4, 0.5], "large": (1.0, 2.0)})
    assert found["small"] == Spread(pytest.approx(0.5), low=pytest.approx(0.45), high=pytest.approx(0.55))
    assert found["large"] == Spread(1.5, low=1.25, high=1.75)


@pytest.mark.parametrize(
    ("ratios", "message"),
    [
        ({}, "a candidate was timed at no shape"),
        ({"mel (8, 80, 500)": [0.5]}, r"in two rounds or more at each shape, got 1 at 'mel \(8, 80, 500\)'"),
    ],
)
def test_what_has_no_quartiles_is_refused_by_all_who_decide_by_time(ratios, message):
    with pytest.raises(InputError, match=message):
        sum_up(ratios)
    with pytest.raises(InputError, match=message):
        ChoiceTime.of(ratios)
    with pytest.raises(InputError, match=message):
        race([Way("Q/DQ")], [], lambda way: ratios)
