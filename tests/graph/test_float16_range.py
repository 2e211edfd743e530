import numpy as np
import pytest

from trtforge.calibration import Observer
from trtforge.graph.float16_range import float16_fault, float16_rounding_error


def observed(values):
    observer = Observer()
    observer.observe(np.asarray(values, np.float32))
    return observer.histogram()


def measured_error(values):
    wide = np.asarray(values, np.float64)
    with np.errstate(under="ignore"):
        half = wide.astype(np.float16).astype(np.float64)
    return np.sqrt(np.mean((half - wide) ** 2) / np.mean(wide**2))


def test_what_is_above_the_largest_number_overflows():
    assert float16_fault(observed([1.0, 65536.0])) == "reaches 6.55e+04, and FP16 ends at 65504"
    assert float16_fault(observed([1.0, -1e6])) == "reaches 1e+06, and FP16 ends at 65504"


def test_the_next_clip_may_be_twice_as_loud():
    assert float16_fault(observed([40000.0])) == (
        "reaches 4e+04, which leaves less than a factor of 2 to FP16's end, 65504"
    )
    assert float16_fault(observed([32752.0])) is None


def test_what_rounds_to_zero_is_lost_whole():
    assert float16_rounding_error(observed(np.full(100, 1e-8))) == 1.0
    assert float16_fault(observed(np.full(100, 1e-8))) == (
        "reaches only 1e-08, and rounding to FP16 changes it by 1e+02 %"
    )


@pytest.mark.parametrize("scale", [3e-8, 1e-7, 1e-6, 1e-5, 1e-3, 1.0, 3000.0])
def test_the_estimate_is_near_what_rounding_does(scale):
    values = np.random.default_rng(0).normal(0.0, scale, 200_000).astype(np.float32)
    assert float16_rounding_error(observed(values)) == pytest.approx(measured_error(values), rel=0.1)


def test_a_tensor_vanishes_below_a_root_mean_square_of_two_millionths():
    # Half a step of 2**-24 to both sides has a root mean square of 1.72e-8: 1 % of 1.72e-6.
    values = np.random.default_rng(1).normal(size=100_000)
    assert float16_fault(observed(1.6e-6 * values)) is not None
    assert float16_fault(observed(1.9e-6 * values)) is None


def test_small_values_beside_large_ones_do_no_harm():
    assert float16_fault(observed([*np.full(1000, 1e-9), 1.0])) is None


def test_zeros_alone_are_held():
    assert float16_fault(observed(np.zeros(10))) is None
    assert float16_fault(observed([])) is None


def test_the_smallest_widths_do_not_underflow():
    values = np.full(3, 1e-38)
    assert float16_rounding_error(observed(values)) == 1.0
