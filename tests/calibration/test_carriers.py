import warnings

import numpy as np
import onnx.parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtforge.calibration import FLOOR_AMAX
from trtforge.calibration.cache import CalibrationCache
from trtforge.calibration.carriers import cache_from_scales, cache_tensors, scales_from_cache
from trtforge.errors import CalibrationCacheError
from trtforge.scales import Scales, TensorScale

HEADER = "TRT-8600-EntropyCalibration2"


def scales_of(**amax):
    tensors = {name: TensorScale(value, value) for name, value in amax.items()}
    return Scales(tensors, "entropy", "a" * 64, "b" * 64, 3)


def test_a_scale_stands_under_every_name_of_its_values():
    cache = cache_from_scales(
        scales_of(mel=127.0, r1=254.0, unused=1.0),
        HEADER,
        names={"mel": "mel", "(Unnamed Layer* 5) [Shuffle]_output": "mel", "r1": "r1"},
    )
    assert cache.scales == {"mel": 1.0, "(Unnamed Layer* 5) [Shuffle]_output": 1.0, "r1": 2.0}
    assert cache_from_scales(scales_of(x=12.7), HEADER).dumps() == f"{HEADER}\nx: 3dcccccd\n".encode()


def test_tensors_without_a_scale_are_counted():
    names = {"mel": "mel", "c1": "c1", "y": "y"}
    with pytest.warns(RuntimeWarning) as warned:
        cache = cache_from_scales(scales_of(mel=127.0), HEADER, names=names)
    assert list(cache.scales) == ["mel"]
    assert str(warned[0].message) == (
        "2 of 3 tensors have no scale, the first is 'c1'; TensorRT leaves a layer in FP16 whose input or "
        "output has none. Calibrate with 'trtforge calibrate --cache', or "
        "on trtforge.observe(..., tensors='cache')"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache_from_scales(scales_of(mel=1.0, c1=1.0, y=1.0), HEADER, names=names)


def test_scales_of_another_network_make_no_cache():
    with pytest.raises(
        CalibrationCacheError, match="none of the network's 1 tensors has one of the 2 scales"
    ):
        cache_from_scales(scales_of(a=1.0, b=1.0), HEADER, names={"x": "x"})


def test_a_cache_becomes_scales_of_the_networks_own_names():
    names = {"(Unnamed Layer* 5) [Shuffle]_output": "mel", "mel": "mel", "r1": "r1", "only made": "c1"}
    cache = CalibrationCache(
        "TRT-8600-MinMaxCalibration",
        {"(Unnamed Layer* 5) [Shuffle]_output": 9.0, "mel": 2.0, "r1": 0.0, "only made": 4.0, "other": 1.0},
    )
    with pytest.warns(RuntimeWarning, match="1 of 5 tensors .* are not in the network .* dropped: 'other'"):
        scales = scales_from_cache(cache, "a" * 64, names=names)
    assert {name: entry.amax for name, entry in scales.tensors.items()} == {
        "mel": 254.0,
        "r1": FLOOR_AMAX,
        "c1": 508.0,
    }
    assert scales["r1"].floored
    assert (scales.method, scales.num_clips, scales.model_sha256) == ("max", 0, "a" * 64)
    assert set(scales_from_cache(cache, "a" * 64)) == set(cache.scales)


def test_a_cache_of_another_network_makes_no_scales():
    with pytest.raises(CalibrationCacheError, match="none of the 1 tensors of the calibration cache is"):
        scales_from_cache(CalibrationCache(HEADER, {"mek": 1.0}), "a" * 64, names={"mel": "mel"})


@given(
    st.dictionaries(
        st.sampled_from("abcdef"), st.floats(min_value=2.0**-120, max_value=2.0**100, width=32), min_size=1
    )
)
def test_a_cache_survives_being_scales(values):
    cache = CalibrationCache(HEADER, values)
    assert cache_from_scales(scales_from_cache(cache, "a" * 64), HEADER) == cache


def test_every_float_activation_belongs_to_a_complete_cache():
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[batch, 4, frames] mel, int64[batch] lengths) => (float[batch, 4, frames] y, int64[3] size)
        <float[4] bias = {1, 2, 3, 4}, int64[3] shape = {1, 4, 1}>
        {
            b = Reshape(bias, shape)
            size = Shape(mel)
            x = Add(mel, b)
            y = Relu(x)
        }
    """)
    assert cache_tensors(model) == ("mel", "x", "y")


def test_the_scale_is_the_float32_nearest_to_a_127th():
    cache = cache_from_scales(scales_of(x=3.0), HEADER)
    assert cache.scales["x"] == float(np.float32(3.0 / 127))
