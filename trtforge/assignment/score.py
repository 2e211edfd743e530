"""What one choice of INT8 layers costs in accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from trtforge.accuracy import AccuracyReport

NO_SIGNAL_DB = -999.0
"""SNR where there was no signal, or a network failed."""


@dataclass(frozen=True)
class StratumScore:
    """Word errors in one stratum.

    Parameters
    ----------
    num_clips, num_words : clips and words of the references.
    reference_errors : word errors in FP32.
    errors : word errors with this choice.
    """

    num_clips: int
    num_words: int
    reference_errors: int
    errors: int

    @property
    def wer_increase(self) -> float:
        """Increase of the word error rate, a fraction; 0 where there are no words."""
        return (self.errors - self.reference_errors) / self.num_words if self.num_words else 0.0


@dataclass(frozen=True)
class Score:
    """Accuracy beside FP32 on the same clips.

    Parameters
    ----------
    snr_db : signal to noise of the output that lies farthest off, in dB; infinite where nothing differs, and
        -999 where there was no signal.
    cosine : the least among the outputs; 0 where one side is all zeros.
    words : word errors overall; None where no words were counted.
    strata : the same by ``factor=value``.
    num_nonfinite : clips whose output holds a NaN or infinity, where FP32 has none; then the SNR is -999.
    """

    snr_db: float
    cosine: float
    words: StratumScore | None = None
    strata: Mapping[str, StratumScore] = field(default_factory=dict)
    num_nonfinite: int = 0

    @property
    def noise(self) -> float:
        """Energy of the difference over that of the output in FP32."""
        return 0.0 if math.isinf(self.snr_db) else 10 ** (-self.snr_db / 10)

    @classmethod
    def exact(cls, like: Score) -> Score:
        """Return the score of FP32 itself, on the clips of another score."""
        same = {
            name: StratumScore(x.num_clips, x.num_words, x.reference_errors, x.reference_errors)
            for name, x in {**like.strata, **({"": like.words} if like.words else {})}.items()
        }
        words = same.pop("", None)
        return cls(math.inf, 1.0, words, same)

    @classmethod
    def of_report(cls, report: AccuracyReport) -> Score:
        """Sum up what an evaluation of one candidate found."""
        (candidate,) = report.candidates
        num_nonfinite = len(report.nonfinite.get(candidate, ()))
        outputs = report.outputs[candidate].values()
        cosines = [1.0 if x.error_energy == 0 else 0.0 if math.isnan(x.cosine) else x.cosine for x in outputs]
        strata = {
            str(stratum): StratumScore(
                stratum.num_clips,
                stratum.num_words,
                stratum.runners[report.reference].wer.counts.num_errors,
                stratum.runners[candidate].wer.counts.num_errors,
            )
            for stratum in ([report.overall] if report.overall else []) + list(report.strata)
        }
        words = strata.pop(str(report.overall), None) if report.overall else None
        snr_db = max(NO_SIGNAL_DB, min(x.snr_db for x in outputs))
        if num_nonfinite:
            # What is finite says nothing of a network that failed.
            snr_db, cosines = NO_SIGNAL_DB, [0.0]
        return cls(snr_db, min(cosines), words, strata, num_nonfinite)

    def to_json(self) -> dict[str, Any]:
        """Return the score as plain JSON values; an infinite SNR is null, no failure is left out."""
        value = asdict(self) | {"snr_db": None if math.isinf(self.snr_db) else self.snr_db}
        if not self.num_nonfinite:
            del value["num_nonfinite"]
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Score:
        """Read what `to_json` gave.

        Raises
        ------
        KeyError, TypeError, ValueError, AttributeError : it is something else.
        """
        snr_db = math.inf if value["snr_db"] is None else float(value["snr_db"])
        cosine = float(value["cosine"])
        if math.isnan(snr_db) or math.isnan(cosine):
            raise ValueError("a score is NaN")
        return cls(
            snr_db,
            cosine,
            StratumScore(**value["words"]) if value["words"] else None,
            {name: StratumScore(**entry) for name, entry in value["strata"].items()},
            int(value.get("num_nonfinite", 0)),
        )
