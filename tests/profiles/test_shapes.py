import numpy as np
import pytest

from trtforge.errors import ProfileError
from trtforge.model import TensorSpec
from trtforge.profiles import OptimizationProfile, ShapeRange, choose_profile, plan_profiles

MEL = TensorSpec("mel", "float32", ("batch", 80, "frames"))
LENGTHS = TensorSpec("lengths", "int64", ("batch",))


def test_a_profile_says_which_limit_to_raise():
    with pytest.raises(ProfileError) as caught:
        OptimizationProfile({"mel": ((1, 128, 100), (8, 128, 3000), (4, 128, 3000))})
    assert str(caught.value) == (
        "profile 'mel': opt (8, 128, 3000) exceeds max (4, 128, 3000); raise max_batch to 8 or lower opt"
    )


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            ((1, 9), (1, 8), (1, 9)),
            r"min \(1, 9\) exceeds opt \(1, 8\); raise axis 1 of opt to 9 or lower min",
        ),
        (
            ((1, 1), (1, 9), (1, 8)),
            r"opt \(1, 9\) exceeds max \(1, 8\); raise axis 1 of max to 9 or lower opt",
        ),
        (((-1, 1), (1, 1), (1, 1)), r"min \(-1, 1\) has an axis below 0"),
        (((1,), (1, 1), (1, 1)), "differ in rank"),
        (((1,), (1,)), "wanted min, opt and max shapes, got 2 values"),
    ],
)
def test_an_inconsistent_range_is_refused(shapes, message):
    with pytest.raises(ProfileError, match=message):
        OptimizationProfile({"mel": shapes})


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            {"mle": ((1, 80, 9),) * 3},
            r"profile 'mle': the network has no such input, only \['lengths', 'mel'\]",
        ),
        ({"mel": ((1, 80),) * 3}, r"has rank 2, the network wants mel: float32 \[batch, 80, frames\]"),
        ({"mel": ((1, 64, 9),) * 3}, "axis 1 is 64 to 64, but the network fixes it at 80"),
        ({"mel": ((1, 80, 9),) * 3}, "profile for input 'lengths' is missing"),
    ],
)
def test_a_profile_must_fit_the_network(shapes, message):
    with pytest.raises(ProfileError, match=message):
        OptimizationProfile(shapes).check_inputs([MEL, LENGTHS])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (TensorSpec("n", "float32", (2,)), "only whole numbers in an input of fixed shape can decide shapes"),
        (TensorSpec("n", "int64", ("rows",)), "only whole numbers in an input of fixed shape can decide"),
        (TensorSpec("n", "int32", ()), "2 values are given, the network wants 1"),
        (TensorSpec("m", "int32", (2,)), r"the network has no such input, only \['m'\]"),
    ],
)
def test_values_must_fit_the_network(spec, message):
    profile = OptimizationProfile({}, values={"n": ((-1, 0), (1, 2), (3, 4))})
    profile.check_inputs([TensorSpec("n", "int64", (2,))])
    with pytest.raises(ProfileError, match=message):
        profile.check_inputs([spec])


def test_an_input_has_shapes_or_values():
    with pytest.raises(ProfileError, match="profile 'n': shapes and values are given"):
        OptimizationProfile({"n": ((1,), (1,), (2,))}, values={"n": ((1,), (1,), (2,))})


def test_the_narrowest_profile_that_fits_is_chosen():
    wide = OptimizationProfile({"mel": ((1, 80, 10), (4, 80, 500), (8, 80, 2000))})
    narrow = OptimizationProfile({"mel": ((1, 80, 10), (1, 80, 100), (1, 80, 200))})
    assert choose_profile([wide, narrow], {"mel": (1, 80, 150)}) == 1
    assert choose_profile([wide, narrow], {"mel": (2, 80, 150)}) == 0
    assert choose_profile([], {"mel": (1, 80, 150)}) == 0


def test_an_input_outside_every_profile_is_named_with_its_ranges():
    short = OptimizationProfile({"mel": ((1, 80, 10), (1, 80, 50), (4, 80, 100))})
    long = OptimizationProfile({"mel": ((1, 80, 200), (1, 80, 250), (4, 80, 300))})
    with pytest.raises(ProfileError) as caught:
        choose_profile([short, long], {"mel": (1, 80, 150)})
    assert caught.value.message == (
        "axis 2 of input 'mel' is 150, outside 10 to 100 or 200 to 300: (1, 80, 150) arrived, the engine "
        "accepts (1 to 4, 80, 10 to 100) or (1 to 4, 80, 200 to 300)"
    )
    with pytest.raises(ProfileError, match=r"input 'mel' has shape \(80, 50\), the engine accepts"):
        choose_profile([short], {"mel": (80, 50)})


def test_a_profile_may_leave_out_an_input_of_fixed_shape_that_another_names():
    mel = {"mel": ((1, 80, 10), (1, 80, 50), (4, 80, 100))}
    profiles = [OptimizationProfile({"bias": ((8,),) * 3, **mel}), OptimizationProfile(mel)]
    for order in (profiles, profiles[::-1]):
        with pytest.raises(ProfileError, match="axis 2 of input 'mel' is 150, outside 10 to 100 or 10 to"):
            choose_profile(order, {"mel": (1, 80, 150), "bias": (8,)})


def test_shapes_are_given_by_input():
    with pytest.raises(ProfileError, match="a profile's shapes must be given by input name, got None"):
        OptimizationProfile(None)
    with pytest.raises(ProfileError, match="a profile's values must be given by input name, got 'x'"):
        OptimizationProfile({}, values="x")


def test_one_profile_covers_the_lengths_and_is_tuned_where_most_frames_lie():
    (profile,) = plan_profiles([MEL, LENGTHS], [100, 100, 100, 300, 401], max_batch=8)
    assert profile.shapes["mel"] == ShapeRange((1, 80, 100), (8, 80, 300), (8, 80, 401))
    assert profile.shapes["lengths"] == ShapeRange((1,), (8,), (8,))
    (rounded,) = plan_profiles([MEL], [101, 300, 401], max_batch=2, multiple_of=16)
    assert rounded.shapes["mel"] == ShapeRange((1, 80, 96), (2, 80, 304), (2, 80, 416))


def test_fixed_inputs_need_no_profile_and_lengths_must_be_positive():
    assert plan_profiles([TensorSpec("x", "float32", (1, 80, 100))], [100]) == ()
    with pytest.raises(ProfileError, match="no lengths were given"):
        plan_profiles([MEL], [])
    with pytest.raises(ProfileError, match="max_batch and multiple_of must be 1 or more, got 0 and 1"):
        plan_profiles([MEL], [5], max_batch=0)


def test_lengths_come_as_an_array_or_a_histogram_as_well():
    listed = plan_profiles([MEL], [100, 300, 300])
    assert plan_profiles([MEL], np.array([100, 300, 300])) == listed
    assert plan_profiles([MEL], {300: 2, 100: 1, 500: 0}) == listed
    with pytest.raises(ProfileError, match="lengths must be whole numbers of frames"):
        plan_profiles([MEL], [100.5, 300])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ((1, 80, 9.5), (1, 80, 9.5), (1, 80, 9.5)),
            r"whole numbers, such as \(1, 80, 64\), got \(1, 80, 9.5\)",
        ),
        (("abc", "abc", "abc"), "profile 'mel': a shape must be whole numbers.*got 'abc'"),
        (5, "wanted min, opt and max shapes, got 1 values"),
    ],
)
def test_sizes_are_never_rounded(given, message):
    with pytest.raises(ProfileError, match=message):
        OptimizationProfile({"mel": given})
    assert ShapeRange([1], [2], [np.int64(3)]) == ShapeRange((1,), (2,), (3,))
