"""Arrays of many kinds, to be counted by the kernels and by the observer of the CPU."""

import numpy as np

from trtforge.calibration import Histogram, Observer


def _random(seed, size):
    return np.random.default_rng(seed).standard_normal(size).astype(np.float32)


def kinds():
    """Name to a list of arrays that come one after another."""
    rng = np.random.default_rng(0)
    tiny = np.float32(2.0**-149)
    bits = rng.integers(0, 1 << 32, 50_000, np.uint64).astype(np.uint32).view(np.float32)
    return {
        "normal": [_random(1, 40_001), 3 * _random(2, 777)],
        "growing": [_random(3, 5000) * np.float32(10.0**power) for power in range(-20, 20, 5)],
        "shrinking": [_random(4, 5000) * np.float32(10.0**power) for power in range(20, -20, -5)],
        "zeros": [np.zeros(1000, np.float32), -np.zeros(77, np.float32)],
        "half zeros": [np.maximum(_random(5, 20_000), 0)],
        "constant": [np.full(5000, 3.7, np.float32)],
        "powers of two": [np.float32(2.0) ** np.arange(-149, 128, dtype=np.float32)],
        "denormal": [rng.integers(1, 1 << 20, 4000).astype(np.float32) * tiny, np.array([tiny], np.float32)],
        "below 2^-100": [_random(6, 3000) * np.float32(2.0**-120), _random(7, 99) * np.float32(2.0**-101)],
        "huge": [np.array([np.finfo(np.float32).max, -1.0, 1e38], np.float32)],
        "any bits": [np.where(np.isfinite(bits), bits, np.float32(0))],
        "one value": [np.array([0.1], np.float32)],
        "empty": [np.zeros(0, np.float32), _random(8, 3)],
        "half": [_random(9, 30_003).astype(np.float16), np.array([65504.0, 6e-8, 0.0], np.float16)],
        "half denormal": [np.arange(1, 1024, dtype=np.uint16).view(np.float16)],
        "every half": [every_half()],
    }


def every_half():
    """Return all finite values of half precision."""
    values = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16).view(np.float16)
    return values[np.isfinite(values)]


def expected(arrays):
    """Count arrays as the CPU does."""
    observer = Observer()
    for array in arrays:
        observer.observe(array)
    return observer.histogram()


def histogram(found, index):
    """Make the histogram of a tensor that a `MagnitudeCounter` counted."""
    return Histogram(
        counts=found.counts[index],
        exponent=int(found.exponents[index]),
        num_zeros=int(found.num_zeros[index]),
        observed_max=float(found.observed_max[index]),
    )
