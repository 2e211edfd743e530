"""Whether a window's text can be trusted, or must be drawn again."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from math import isfinite, isnan

from trtforge.errors import ConfigError
from trtforge.speech.generation import Generated


@dataclass(frozen=True)
class Fallback:
    """When a window is decoded again, and at which temperatures.

    Parameters
    ----------
    temperatures : in order; 0 is greedy. The last one's text is taken as it is.
    max_compression_ratio : a text that zlib shrinks further repeats itself.
    min_log_probability : least mean over the symbols.
    max_no_speech : where the probability of no speech is above it and the mean log-probability below its
        least, the window is taken for silence.

    Raises
    ------
    ConfigError : there are no temperatures, one is negative or not finite, or a limit is NaN.

    References
    ----------
    A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022, section 4.5.
    """

    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    max_compression_ratio: float = 2.4
    min_log_probability: float = -1.0
    max_no_speech: float = 0.6

    def __post_init__(self) -> None:
        if not self.temperatures or not all(isfinite(one) and one >= 0 for one in self.temperatures):
            raise ConfigError(
                f"temperatures must be one or more, finite, none negative, got {self.temperatures}",
                settings=("temperatures",),
            )
        for name in ("max_compression_ratio", "min_log_probability", "max_no_speech"):
            if isnan(getattr(self, name)):
                raise ConfigError(f"{name} must be a number, got NaN", settings=(name,))

    def is_silence(self, found: Generated, no_speech_probability: float) -> bool:
        """Say whether what was found is to be taken for silence."""
        return (
            no_speech_probability > self.max_no_speech
            and found.mean_log_probability < self.min_log_probability
        )

    def is_good(self, found: Generated, text: str) -> bool:
        """Say whether a text need not be drawn again."""
        return (
            compression_ratio(text) <= self.max_compression_ratio
            and found.mean_log_probability >= self.min_log_probability
        )


def compression_ratio(text: str) -> float:
    """Return how many times zlib shrinks a text; 1 for an empty one."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 1.0
