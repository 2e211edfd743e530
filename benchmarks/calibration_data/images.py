"""Random pictures with the statistics of photographs, in the shape of a spectrogram."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# ImageNet's usual preprocessing constants, averaged over the three colours.
PIXEL_MEAN = (0.485 + 0.456 + 0.406) / 3
PIXEL_STD = (0.229 + 0.224 + 0.225) / 3


def photograph(generator: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Draw a picture whose amplitude spectrum falls off as 1/f, as that of photographs does.

    Gaussian noise is divided by spatial frequency (cycles a pixel, the same unit along both axes), scaled to
    ImageNet's mean and standard deviation, clipped to 0 to 1 and rounded to 256 levels.

    Parameters
    ----------
    generator : source of the randomness.
    height, width : in pixels; at least two of them together.

    Returns
    -------
    float32 [height, width], 0 to 1.

    References
    ----------
    D. J. Field, "Relations between the statistics of natural images and the response properties of cortical
    cells", Journal of the Optical Society of America A 4, 1987.
    """
    frequency = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf  # the mean is set below
    spectrum = np.fft.rfft2(generator.standard_normal((height, width))) / frequency
    field = np.fft.irfft2(spectrum, s=(height, width))
    pixels = np.clip(PIXEL_MEAN + PIXEL_STD * field / field.std(), 0.0, 1.0)
    rounded: NDArray[np.float32] = (np.round(255 * pixels) / 255).astype(np.float32)
    return rounded


def standardize(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Prepare a picture as image classifiers want it: ImageNet's mean off, over its standard deviation."""
    standardized: NDArray[np.float32] = ((pixels - PIXEL_MEAN) / PIXEL_STD).astype(np.float32)
    return standardized
