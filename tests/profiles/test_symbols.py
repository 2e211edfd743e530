import pytest

from trtforge.errors import ProfileError
from trtforge.model import TensorSpec
from trtforge.profiles import OptimizationProfile, ShapeRange, profile_from_axes

MEL = TensorSpec("mel", "float32", ("batch", 80, "frames"))
MASK = TensorSpec("mask", "float32", ("batch", "frames"))
AXES = {"batch": (1, 4, 8), "frames": (64, 500, 1000)}


def test_inputs_that_share_an_axis_move_together():
    profile = profile_from_axes([MEL, MASK], AXES)
    assert profile is not None
    assert profile.shapes["mel"] == ShapeRange((1, 80, 64), (4, 80, 500), (8, 80, 1000))
    assert profile.shapes["mask"] == ShapeRange((1, 64), (4, 500), (8, 1000))
    assert profile_from_axes([TensorSpec("x", "float32", (1, 2))], {}) is None


@pytest.mark.parametrize(
    ("inputs", "axes", "message"),
    [
        ([MEL], {"batch": (1, 1, 1)}, r"dynamic axes are \['batch', 'frames'\], got ranges for \['batch'\]"),
        ([MEL], {**AXES, "frames": (1, 2)}, r"axis 'frames': wanted min, opt and max, got \(1, 2\)"),
        ([MEL], {**AXES, "frames": 500}, "axis 'frames': wanted min, opt and max, got 500"),
        ([TensorSpec("x", "float32", ("?", 2))], {"?": (1, 2, 3)}, "an axis without a name"),
    ],
)
def test_ranges_must_fit_the_axes(inputs, axes, message):
    with pytest.raises(ProfileError, match=message):
        profile_from_axes(inputs, axes)


def test_axes_of_one_name_with_two_ranges_are_refused():
    profile = OptimizationProfile(
        {"mel": ((1, 80, 64), (4, 80, 500), (8, 80, 1000)), "mask": ((1, 64), (4, 500), (8, 999))}
    )
    with pytest.raises(ProfileError) as caught:
        profile.check_inputs([MEL, MASK])
    assert caught.value.message == (
        "profile 'mask': axis 1 (frames) is (64, 500, 999), but axis 2 of 'mel' has the same name and is "
        "(64, 500, 1000); give both the same min, opt and max"
    )
    nameless = [TensorSpec("mel", "float32", ("?", 80, "?")), TensorSpec("mask", "float32", ("?", "?"))]
    profile.check_inputs(nameless)
