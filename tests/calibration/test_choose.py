import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtforge.calibration import FLOOR_AMAX, METHODS, Histogram, Observations, Observer, choose
from trtforge.errors import CalibrationError, ConfigError
from trtforge.scales import Scales


def observations(**tensors):
    histograms = {}
    for name, values in tensors.items():
        observer = Observer()
        observer.observe(np.asarray(values, np.float64))
        histograms[name] = observer.histogram()
    return Observations(histograms, "a" * 64, "b" * 64, num_clips=3, rejected={"clip-9": "too short"})


def test_record_says_where_it_comes_from(tmp_path):
    scales = choose(observations(x=[1.0, -4.0]), "max")
    assert scales["x"].amax == scales["x"].observed_max == 4.0
    assert scales["x"].scale == 4.0 / 127
    assert (scales.method, scales.num_clips, scales.model_sha256) == ("max", 3, "a" * 64)
    assert scales.rejected == {"clip-9": "too short"}
    scales.save(tmp_path / "scales.json")
    assert Scales.load(tmp_path / "scales.json") == scales


def test_share_that_is_clipped():
    scales = choose(observations(x=[0.0] * 50 + [1.0] * 49 + [8.0]), "percentile", percentile=99)
    assert scales["x"].amax == 1.0 + 16 / 4096
    assert scales["x"].clipped_share == pytest.approx(0.01)
    assert choose(observations(x=[1.0, 8.0]), "max")["x"].clipped_share == 0.0


@pytest.mark.parametrize("method", METHODS)
def test_zeros_get_the_floor_and_are_marked(method):
    scales = choose(observations(dead=[0.0, 0.0], faint=[1e-30], alive=[1.0]), method)
    assert scales["dead"].amax == scales["faint"].amax == FLOOR_AMAX == 127 * 2.0**-24
    assert [scales[name].floored for name in ("dead", "faint", "alive")] == [True, True, False]
    assert np.float16(scales["dead"].scale) > 0
    assert scales["faint"].observed_max == 1e-30


def test_unknown_method():
    with pytest.raises(
        ConfigError, match="no calibration method 'minmax'; there are entropy, percentile, mse, max"
    ):
        choose(observations(x=[1.0]), "minmax")


def test_tensor_that_never_held_a_value():
    empty = Observations({"x": Histogram()}, "a", "b", num_clips=1)
    with pytest.raises(CalibrationError, match="tensor 'x': it held no values in any clip"):
        choose(empty)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32), st.integers(1, 16), st.integers(1, 5), st.sampled_from(METHODS))
def test_scales_do_not_depend_on_order_batches_or_parts(seed, batch_size, num_parts, method):
    rng = np.random.default_rng(seed)
    clips = [rng.standard_t(2, size=rng.integers(1, 200)) * 2.0 ** rng.integers(-8, 8) for _ in range(40)]
    whole = choose(observations(x=np.concatenate(clips)), method)
    rng.shuffle(clips)
    merged = None
    for part in range(num_parts):
        observer = Observer()
        mine = clips[part::num_parts]
        for start in range(0, len(mine), batch_size):
            observer.observe(np.concatenate(mine[start : start + batch_size]))
        one = Observations({"x": observer.histogram()}, "a", "b", num_clips=len(mine))
        merged = one if merged is None else one.merge(merged)
    assert choose(merged, method).tensors == whole.tensors
    assert merged.num_clips == 40
