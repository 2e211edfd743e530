import numpy as np
import pytest

from calibration_sets.synthesis.noises import noise

RATE = 16_000
KINDS = ("babble", "music", "hum", "street")


def sources():
    """Eight steady tones, each of its own frequency and length."""
    return [
        np.sin(2 * np.pi * 100 * (k + 1) * np.arange(RATE + 160 * k) / RATE).astype(np.float32)
        for k in range(8)
    ]


def band_share(x, low_hz, high_hz):
    power = np.square(np.abs(np.fft.rfft(x)))
    hertz = np.fft.rfftfreq(len(x), 1 / RATE)
    return float(power[(hertz >= low_hz) & (hertz < high_hz)].sum() / power.sum())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_samples", [1000, 48_000])
def test_length_type_and_level(kind, num_samples):
    sound = noise(kind, num_samples, np.random.default_rng(3), sources())
    assert sound.shape == (num_samples,)
    assert sound.dtype == np.float32
    assert np.sqrt(np.mean(np.square(sound, dtype=np.float64))) == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides(kind):
    first, again, other = (noise(kind, 16_000, np.random.default_rng(s), sources()) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.9


def test_babble_is_the_sum_of_four_to_eight_sources():
    counts = set()
    for seed in range(12):
        power = np.square(np.abs(np.fft.rfft(noise("babble", RATE, np.random.default_rng(seed), sources()))))
        heard = [power[100 * (k + 1) - 3 : 100 * (k + 1) + 4].sum() / power.sum() for k in range(8)]
        counts.add(sum(share > 0.01 for share in heard))
    assert min(counts) >= 4
    assert max(counts) <= 8
    assert len(counts) > 1


def test_babble_needs_four_sources():
    with pytest.raises(ValueError, match="babble needs at least 4 utterances, not 3"):
        noise("babble", 100, np.random.default_rng(0), sources()[:3])


def test_hum_has_mains_lines_and_little_treble():
    mains = set()
    for seed in range(8):
        power = np.square(np.abs(np.fft.rfft(noise("hum", RATE, np.random.default_rng(seed)))))
        mains.add(50 if power[[50, 150, 250]].sum() > power[[60, 180, 300]].sum() else 60)
    assert mains == {50, 60}
    assert band_share(noise("hum", 4 * RATE, np.random.default_rng(0)), 0, 1000) > 0.8


def test_street_is_darker_than_white_noise_and_swells():
    sound = noise("street", 8 * RATE, np.random.default_rng(0))
    assert band_share(sound, 0, 4000) > 0.75
    level = np.sqrt(np.square(sound.reshape(-1, RATE // 2)).mean(axis=1))
    assert level.max() / level.min() > 1.5


def test_music_has_beats():
    sound = noise("music", 8 * RATE, np.random.default_rng(0))
    level = np.sqrt(np.square(sound.reshape(-1, RATE // 20)).mean(axis=1))
    assert level.max() / np.median(level) > 1.5
    assert band_share(sound, 100, 3000) > 0.5


def test_unknown_kind_and_length():
    with pytest.raises(ValueError, match="noise kind must be one of babble, music, hum, street, not 'wind'"):
        noise("wind", 100, np.random.default_rng(0))
    with pytest.raises(ValueError, match="num_samples must be positive, not 0"):
        noise("hum", 0, np.random.default_rng(0))
