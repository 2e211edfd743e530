import numpy as np
import pytest

from benchmarks.calibration_data.images import PIXEL_MEAN, PIXEL_STD, photograph, standardize


def test_a_picture_has_the_contrast_of_photographs_in_256_levels() -> None:
    pixels = photograph(np.random.default_rng(0), 80, 400)
    assert (pixels.dtype, pixels.shape) == (np.float32, (80, 400))
    assert 0 <= pixels.min() < pixels.max() <= 1
    np.testing.assert_allclose(255 * pixels, np.round(255 * pixels), atol=1e-4)
    assert pixels.mean() == pytest.approx(0.449, abs=0.01)
    assert pixels.std() == pytest.approx(0.226, abs=0.01)


def test_its_power_falls_off_with_the_square_of_frequency() -> None:
    generator = np.random.default_rng(1)
    power = np.mean([np.abs(np.fft.fft2(photograph(generator, 128, 128))) ** 2 for _ in range(20)], axis=0)
    frequency = np.hypot(np.fft.fftfreq(128)[:, np.newaxis], np.fft.fftfreq(128))
    # Above a quarter of the sampling rate what clipping and rounding add begins to show.
    band = (frequency > 0.02) & (frequency < 0.25)
    slope, _ = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)
    assert slope == pytest.approx(-2.0, abs=0.1)


def test_standardized_pictures_have_no_mean_and_unit_spread() -> None:
    pixels = np.array([[0.0, PIXEL_MEAN, PIXEL_MEAN + PIXEL_STD]], np.float32)
    np.testing.assert_allclose(standardize(pixels), [[-1.9867, 0.0, 1.0]], atol=1e-4)
