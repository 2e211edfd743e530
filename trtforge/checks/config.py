"""What a check allows, what it must notice, and how often it may be wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trtforge.errors import ConfigError

# Permutations are drawn, and a rarer event would ask for millions of them.
LEAST_RATE = 1e-4


@dataclass(frozen=True)
class CheckConfig:
    """Budgets and error rates of a check.

    For each quantity there is a budget, the largest change that is allowed, and a resolution, the step beyond
    the budget that must not slip through. A check fails where a change is shown to exceed its budget, and
    passes where it is shown to stay below budget and resolution together.

    Parameters
    ----------
    wer_budget : increase of the word error rate, as a fraction: 0.01 is one point.
    wer_resolution : in the same unit.
    errors_per_clip : word errors that a regression adds to each clip it touches, on average; 1 or more. Where
        the clips of a check show more, theirs count. The more, the fewer clips it touches, and the more clips
        it takes to be sure of meeting one.
    stratum_wer_budget : as ``wer_budget``, for each stratum by itself; None judges no strata.
    stratum_wer_resolution : as ``wer_resolution``, for strata, which have fewer clips.
    min_stratum_clips : smaller strata are not judged.
    snr_budget_db : mean loss of an output's signal to noise ratio against the reference, in dB.
    snr_resolution_db : in the same unit.
    speed_budget : increase of the time beside the reference's, as a fraction: 0.02 is 2 %.
    speed_resolution : in the same unit.
    false_alarm_rate : how often a check may fail where nothing exceeds its budget; shared out among all that
        is judged.
    miss_rate : how often a change of budget and resolution may pass.
    seed : of the permutations.

    Raises
    ------
    ConfigError : a budget is not finite or negative, a resolution is not above 0, a rate not below 0.5, or so
        small that no number of permutations would show it, or a count not whole.
    """

    wer_budget: float = 0.0
    wer_resolution: float = 0.005
    errors_per_clip: float = 2.0
    stratum_wer_budget: float | None = None
    stratum_wer_resolution: float = 0.02
    min_stratum_clips: int = 30
    snr_budget_db: float = 1.0
    snr_resolution_db: float = 1.0
    speed_budget: float = 0.02
    speed_resolution: float = 0.03
    false_alarm_rate: float = 0.01
    miss_rate: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("wer_budget", "stratum_wer_budget", "snr_budget_db", "speed_budget"):
            value = getattr(self, name)
            if value is None and name == "stratum_wer_budget":
                continue
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} must be 0 or more, got {value}", settings=(name,))
        for name in ("wer_resolution", "stratum_wer_resolution", "snr_resolution_db", "speed_resolution"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(
                    f"{name} must be above 0, got {value}: no number of clips shows a change to be nothing",
                    settings=(name,),
                )
        for name in ("false_alarm_rate", "miss_rate"):
            value = getattr(self, name)
            if not LEAST_RATE <= value < 0.5:
                raise ConfigError(
                    f"{name} must lie between {LEAST_RATE} and 0.5, got {value}", settings=(name,)
                )
        if not (math.isfinite(self.errors_per_clip) and self.errors_per_clip >= 1):
            raise ConfigError(
                f"errors_per_clip must be 1 or more, got {self.errors_per_clip}",
                hint="errors come one by one at least",
                settings=("errors_per_clip",),
            )
        for name, least in (("min_stratum_clips", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ConfigError(f"{name} must be a whole number of {least} or more, got {value}")
