import numpy as np
from onnx import numpy_helper

from trtforge.graph.half_types import BFLOAT16, FLOAT16


def test_bfloat16_rounds_to_nearest_even():
    # Between 256 and 512 the numbers of BF16 are 2 apart.
    values = np.array([257, 258, 259, 261, -257.5, 0.0], np.float32)
    assert BFLOAT16.round(values).tolist() == [256, 258, 260, 260, -258, 0]


def test_bfloat16_is_what_onnx_reads():
    values = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    tensor = BFLOAT16.tensor(values, "w")
    assert list(tensor.dims) == [3, 5]
    bits = np.frombuffer(tensor.raw_data, "<u2").astype(np.uint32) << 16
    np.testing.assert_array_equal(bits.view(np.float32).reshape(3, 5), BFLOAT16.round(values))
    np.testing.assert_allclose(BFLOAT16.round(values), values, rtol=2**-8)


def test_nan_and_infinity_stay():
    values = np.array([np.nan, np.inf, -np.inf], np.float32)
    # A NaN whose upper half alone would be an infinity.
    values = np.append(values, np.array([0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32))
    rounded = BFLOAT16.round(values)
    assert np.isnan(rounded[3:]).all()
    assert np.isnan(rounded[0])
    assert rounded[1:3].tolist() == [np.inf, -np.inf]


def test_scalars_keep_their_shape():
    for half in (FLOAT16, BFLOAT16):
        tensor = half.tensor(np.float32(0.5), "half")
        assert list(tensor.dims) == []
        assert half.round(np.float32(0.5)).shape == ()
    assert numpy_helper.to_array(FLOAT16.tensor(np.float32(0.5), "half")) == np.float16(0.5)


def test_overflow_begins_half_a_step_above_the_largest_number():
    for half in (FLOAT16, BFLOAT16):
        least = np.float32(half.overflow)
        assert half.round(least) == np.inf
        assert np.isfinite(half.round(np.nextafter(least, np.float32(0))))
        assert half.loses(np.append(np.ones(3 << 20, np.float32), least), each=False)


def test_constants_that_are_moved_by_more_than_a_hundredth_are_lost():
    assert FLOAT16.loses(np.float32(1e-7), each=False)
    assert not FLOAT16.loses(np.float32(1e-5), each=False)
    assert not FLOAT16.loses(np.array([1e-7, 1.0]), each=False)
    assert FLOAT16.loses(np.array([1e-7, 1.0]), each=True)
    assert FLOAT16.loses(np.array([1e5, 1.0]), each=False)


def test_constants_are_judged_by_their_root_mean_square_as_activations_are():
    values = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    # Steps of 2**-24 leave an error of 1.72e-8, which is 1 % of a root mean square of 1.72e-6.
    assert not FLOAT16.loses(values * np.float32(1.9e-6), each=False)
    assert FLOAT16.loses(values * np.float32(1.5e-6), each=False)
    # Small values beside large ones do no harm.
    assert not FLOAT16.loses(np.append(values * np.float32(1e-7), np.float32(1)), each=False)
    assert not FLOAT16.loses(np.array([np.inf, 0.0]), each=True)


def test_bfloat16_holds_all_but_the_last_numbers_before_infinity():
    assert not BFLOAT16.loses(np.array([1e-30, 3e38]), each=True)
    assert BFLOAT16.loses(np.float32(np.finfo(np.float32).min), each=False)
