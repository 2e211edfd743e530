import numpy as np
import pytest

from trtforge.errors import ProfileError
from trtforge.profiles import AffineCost, MeasuredCost

LENGTHS = np.array([50, 100, 150, 200, 300, 400])


def test_an_affine_cost():
    assert AffineCost(0.5, 3)(LENGTHS).tolist() == [28, 53, 78, 103, 153, 203]
    with pytest.raises(ProfileError, match="per_frame must be positive and fixed 0 or more, got 0 and 0"):
        AffineCost(0)


def test_a_measured_cost_is_straight_between_points_flat_below_and_in_proportion_above():
    cost = MeasuredCost([(200, 3.0), (100, 1.0)])
    assert cost(LENGTHS).tolist() == [1, 1, 2, 3, 4.5, 6]


def test_times_that_fall_are_averaged_until_none_does():
    # 4 then 2 become 3 each; two times of one length are averaged by their number: (4 + 4 + 1) / 3.
    assert MeasuredCost([(100, 4.0), (200, 2.0)])(LENGTHS[:4]).tolist() == [3, 3, 3, 3]
    assert MeasuredCost([(100, 4.0), (100, 4.0), (200, 1.0)])(LENGTHS[:4]).tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([(100, 1.0)], "two lengths or more"),
        ([(100, 1.0), (100, 2.0)], "two lengths or more"),
        ([(100, 1.0), (200, 0.0)], "positive and finite"),
    ],
)
def test_too_few_or_impossible_measurements_are_refused(points, message):
    with pytest.raises(ProfileError, match=message):
        MeasuredCost(points)
