import numpy as np
import pytest

from calibration_sets.synthesis.distort import (
    active_frames,
    active_rms,
    codec,
    impulse_response,
    mix,
    mu_law,
    reverberate,
    set_loudness,
    telephone,
)
from trtforge.errors import ConfigError

RATE = 16_000


def tone(hertz, seconds=1.0, amplitude=0.5):
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(
        np.float32
    )


def half_spoken():
    """One second of a tone with RMS 0.5, then one of silence."""
    return np.concatenate([tone(500, 1.0, np.sqrt(0.5)), np.zeros(RATE, np.float32)])


def decibels(ratio):
    return 20 * np.log10(ratio)


def rms(x):
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def test_active_frames_leave_silence_out():
    x = half_spoken()
    assert active_frames(x).sum() == RATE
    assert rms(x) == pytest.approx(0.5 / np.sqrt(2), rel=1e-3)
    assert active_rms(x) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(("below_db", "active"), [(29, True), (31, False)])
def test_active_range_is_30_db(below_db, active):
    x = np.concatenate([tone(500), tone(500, amplitude=0.5 * 10 ** (-below_db / 20))])
    assert active_frames(x)[RATE:].all() == active


@pytest.mark.parametrize("snr_db", [20.0, 10.0, 5.0, 0.0])
def test_mix_reaches_the_ratio_over_active_speech(snr_db):
    speech = half_spoken()
    background = np.random.default_rng(1).standard_normal(len(speech)).astype(np.float32)
    background[RATE:] *= 10  # where nobody speaks the background does not count
    mixed = mix(speech, background, snr_db)
    added = (mixed - speech)[:RATE]
    assert decibels(0.5 / rms(added)) == pytest.approx(snr_db, abs=0.1)


def test_mix_refuses_unequal_lengths_and_silence():
    with pytest.raises(ValueError, match="speech has 16000 samples, background 5"):
        mix(tone(500), np.ones(5, np.float32), 0.0)
    with pytest.raises(ValueError, match="silent"):
        mix(tone(500), np.zeros(RATE, np.float32), 0.0)


def decay_time(response):
    """Reverberation time from the backward integral between -5 and -35 dB, ISO 3382's T30."""
    energy = np.cumsum(np.square(response[1:], dtype=np.float64)[::-1])[::-1]
    level = 10 * np.log10(energy / energy[0])
    fitted = np.flatnonzero((level < -5) & (level > -35))
    slope = np.polyfit(fitted / RATE, level[fitted], 1)[0]
    return -60 / slope


@pytest.mark.parametrize("rt60", [0.3, 0.8])
@pytest.mark.parametrize("seed", range(4))
def test_impulse_response_decays_as_asked(rt60, seed):
    response = impulse_response(rt60, np.random.default_rng(seed))
    assert decay_time(response) == pytest.approx(rt60, rel=0.15)


def test_impulse_response_has_unit_direct_sound_and_the_asked_ratio():
    response = impulse_response(0.5, np.random.default_rng(0), direct_to_reverberant_db=3.0)
    assert response[0] == 1.0
    assert 10 * np.log10(1.0 / np.sum(np.square(response[1:]))) == pytest.approx(3.0, abs=0.01)


def test_reverberate_keeps_length_and_place():
    x = np.zeros(RATE, np.float32)
    x[1000] = 1.0
    response = np.array([1.0, 0.0, 0.5], np.float32)
    heard = reverberate(x, response)
    assert heard.shape == x.shape
    np.testing.assert_allclose(heard[999:1004], [0, 1, 0, 0.5, 0], atol=1e-6)


def through_telephone_db(hertz):
    """Gain at a frequency, away from the ends, where a tone that starts or stops is not one."""
    x = tone(hertz)
    return decibels(rms(telephone(x)[2000:-2000]) / rms(x))


@pytest.mark.parametrize("hertz", [500, 1000, 2000, 3000])
def test_telephone_passes_its_band(hertz):
    assert through_telephone_db(hertz) == pytest.approx(0.0, abs=0.5)


@pytest.mark.parametrize("hertz", [60, 150, 200, 3900, 5000, 7000])
def test_telephone_stops_what_lies_outside(hertz):
    assert through_telephone_db(hertz) < -40


@pytest.mark.parametrize("amplitude", [0.3, 0.003])
def test_telephone_keeps_time_and_has_the_noise_of_mu_law(amplitude):
    # A sine through 8 bits of mu-law has some 38 dB; the coder sees every clip at the same peak.
    x = tone(1000, amplitude=amplitude)
    error = (telephone(x) - x)[2000:-2000]
    assert 36 < decibels(rms(x) / rms(error)) < 43


def test_mu_law_has_256_levels_and_steps_that_grow():
    x = np.linspace(-1, 1, 200_001)
    decoded = mu_law(x)
    assert len(np.unique(decoded)) == 256
    assert mu_law(np.array([1.0, -1.0, 2.0])).tolist() == pytest.approx([1.0, -1.0, 1.0])
    # Half a step is 1/255 of the curve, whose slope in x is ln(256) (1/255 + |x|).
    half_step = np.log(256) * (1 / 255 + np.abs(x)) / 255
    assert np.all(np.abs(decoded - x) <= half_step * 1.03)
    assert np.abs(decoded - x).max() == pytest.approx(0.0218, rel=0.05)


@pytest.mark.parametrize(("kind", "compression"), [("opus", 0.98), ("mp3", 0.98), ("vorbis", 1.0)])
def test_codec_keeps_length_and_place_and_loses_something(kind, compression):
    rng = np.random.default_rng(0)
    sweep = tone(700) * (1 + 0.5 * tone(3)) + 0.05 * rng.standard_normal(RATE).astype(np.float32)
    decoded = codec(sweep, kind, compression)
    assert decoded.shape == sweep.shape
    middle = slice(RATE // 4, RATE // 2)
    shifted = [np.dot(sweep[middle], np.roll(decoded, -lag)[middle]) for lag in range(-10, 11)]
    assert abs(int(np.argmax(shifted)) - 10) <= 1
    assert 3 < decibels(rms(sweep[middle]) / rms((decoded - sweep)[middle])) < 30


def test_codec_names_what_it_knows():
    with pytest.raises(ConfigError, match="codec must be one of opus, mp3, vorbis, not 'aac'"):
        codec(tone(500), "aac", 0.5)
    with pytest.raises(ConfigError, match="compression must lie in 0 to 1, not 2"):
        codec(tone(500), "opus", 2)


@pytest.mark.parametrize("dbfs", [-36.0, -24.0, -14.0])
def test_loudness_is_that_of_active_speech(dbfs):
    loud = set_loudness(half_spoken(), dbfs)
    assert decibels(active_rms(loud)) == pytest.approx(dbfs, abs=0.1)


def peaky():
    """A tone at 0.02 with a burst of 1 every tenth of a second: peaks 20 dB above the RMS."""
    x = tone(300, 2.0, 0.02)
    for start in range(800, len(x), 1600):
        x[start : start + 80] += tone(2000, 80 / RATE, 1.0)
    return x


def test_loudness_limits_peaks_below_the_ceiling():
    x = peaky()
    assert np.abs(x).max() * 10 ** (-14 / 20) / active_rms(x) > 1.2
    out = set_loudness(x, -14.0, ceiling=0.9)
    assert np.abs(out).max() <= 0.9
    assert decibels(active_rms(out)) == pytest.approx(-14.0, abs=0.1)


def test_loudness_clips_when_asked():
    out = set_loudness(peaky(), -14.0, clip=True)
    assert np.abs(out).max() == 1.0
    assert np.sum(np.abs(out) == 1.0) > 100


def test_loudness_refuses_silence():
    with pytest.raises(ValueError, match="silent"):
        set_loudness(np.zeros(100, np.float32), -20.0)
