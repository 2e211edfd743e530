"""How much accuracy an assignment may cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any

from trtforge.assignment.score import Score
from trtforge.errors import ConfigError

# A rate is a ratio of counts; anything below this is rounding, not a word.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class AccuracyBudget:
    """Bounds that all hold at once; one that is None does not count.

    Whatever the bounds, a choice with a NaN or infinity in an output, where FP32 has none, breaks them.

    Parameters
    ----------
    wer_increase : most increase of the word error rate overall, a fraction: 0.003 is 0.3 points.
    stratum_wer_increase : the same in any stratum of ``min_clips`` or more clips.
    snr_db : least signal to noise of the outputs, in dB.
    min_clips : smallest stratum that is judged; smaller ones are too noisy.

    Raises
    ------
    ConfigError : a bound is negative or no finite number, ``min_clips`` is no whole number of 1 or more, or
        there is no bound.
    """

    wer_increase: float | None = None
    stratum_wer_increase: float | None = None
    snr_db: float | None = None
    min_clips: int = 30

    def __post_init__(self) -> None:
        bounds = {name: getattr(self, name) for name in ("wer_increase", "stratum_wer_increase", "snr_db")}
        for name, bound in bounds.items():
            if bound is not None and not (isinstance(bound, Real) and math.isfinite(bound)):
                raise ConfigError(f"{name} must be a finite number, got {bound!r}", settings=(name,))
            if bound is not None and bound < 0:
                raise ConfigError(
                    f"{name} must not be negative, got {bound}: FP32 itself would not meet it",
                    settings=(name,),
                )
        if not isinstance(self.min_clips, Integral) or self.min_clips < 1:
            raise ConfigError(
                f"min_clips must be a whole number of 1 or more, got {self.min_clips!r}",
                settings=("min_clips",),
            )
        if all(bound is None for bound in bounds.values()):
            raise ConfigError(
                "the budget bounds nothing",
                hint="set wer_increase, such as 0.003 for 0.3 points, or snr_db, such as 30",
                settings=tuple(bounds),
            )

    @property
    def counts_words(self) -> bool:
        """Whether a bound is about words."""
        return self.wer_increase is not None or self.stratum_wer_increase is not None

    def excess(self, score: Score) -> tuple[str, ...]:
        """Say which bounds a score breaks, and by how much; nothing where it meets them all."""
        broken = []
        if score.num_nonfinite:
            broken.append(f"NaN or infinities in the output of {score.num_nonfinite} clips")
        elif self.snr_db is not None and score.snr_db < self.snr_db:
            broken.append(f"SNR {score.snr_db:.2f} dB, at least {self.snr_db:g}")
        if self.wer_increase is not None and score.words is not None:
            broken += _over("overall", score.words.wer_increase, self.wer_increase)
        if self.stratum_wer_increase is not None:
            for name, stratum in score.strata.items():
                if stratum.num_clips >= self.min_clips:
                    broken += _over(name, stratum.wer_increase, self.stratum_wer_increase)
        return tuple(broken)

    def worst_stratum(self, score: Score) -> tuple[str, float] | None:
        """Return the judged stratum that a score costs most, and its increase; None where there is none."""
        judged = {
            name: stratum.wer_increase
            for name, stratum in score.strata.items()
            if stratum.num_clips >= self.min_clips
        }
        return max(judged.items(), key=lambda item: item[1], default=None)

    def to_json(self) -> dict[str, Any]:
        """Return the bounds as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> AccuracyBudget:
        """Read what `to_json` gave."""
        return cls(**value)


def _over(where: str, increase: float, most: float) -> list[str]:
    if increase <= most + _ROUNDING:
        return []
    return [f"{where} {100 * increase:+.2f} points of WER, at most {100 * most:+.2f}"]
