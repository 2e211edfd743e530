import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtforge.audio import LogMel
from trtforge.audio.feature_stream import feature_blocks, measure_bands
from trtforge.errors import InputError


def noise(count):
    return np.random.default_rng(count).normal(0, 0.1, count).astype(np.float32)


def cut(audio, sizes):
    return np.split(audio, np.cumsum(sizes)[np.cumsum(sizes) < len(audio)])


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 9000),
    st.lists(st.integers(0, 3000), max_size=6),
    st.sampled_from(["per_band", "none"]),
    st.sampled_from([160, 700]),
)
def test_blocks_give_the_features_of_the_whole(count, sizes, normalize, hop):
    features = LogMel(normalize=normalize, hop_length=hop)
    audio = noise(count)
    statistics = measure_bands(cut(audio, sizes), features)
    streamed = np.concatenate(list(feature_blocks(cut(audio, sizes), features, statistics)), axis=1)
    assert statistics.num_samples == count
    assert streamed.shape == (80, statistics.num_frames) == (80, features.num_frames(count))
    np.testing.assert_allclose(streamed, features(audio), rtol=1e-5, atol=1e-5)


def test_statistics_are_those_of_all_frames():
    features, audio = LogMel(), noise(50_000)
    statistics = measure_bands(np.split(audio, 10), features)
    mel = LogMel(normalize="none")(audio).astype(np.float64)
    np.testing.assert_allclose(statistics.mean, mel.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(statistics.std, mel.std(axis=1), rtol=1e-6)


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [np.zeros(0, np.float32)],
        [np.float32([np.nan])],
        [np.zeros((2, 3), np.float32)],
        [np.zeros(9, int)],
    ],
)
def test_blocks_that_are_not_audio_are_refused(blocks):
    with pytest.raises(InputError, match="features take"):
        measure_bands(blocks, LogMel())
