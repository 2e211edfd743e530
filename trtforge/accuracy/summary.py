"""Sum clips up into error rates, overall and by stratum, with their confidence intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from trtforge.accuracy.bootstrap import BootstrapConfig, Interval, difference_interval, rate_interval
from trtforge.accuracy.metrics import OutputMetrics
from trtforge.accuracy.significance import permutation_test
from trtforge.accuracy.wer import ErrorCounts, total


@dataclass(frozen=True)
class ClipHypothesis:
    """What one runner's output was read as, and the errors in it.

    Parameters
    ----------
    text : the normalised hypothesis.
    words : word errors against the clip's reference.
    characters : character errors against the clip's reference.
    """

    text: str
    words: ErrorCounts
    characters: ErrorCounts


@dataclass(frozen=True)
class ClipResult:
    """One clip as every runner recognised it.

    Parameters
    ----------
    clip_id : the clip's id.
    reference : what was said, normalised.
    hypotheses : runner to what it recognised.
    strata : factor to the clip's value, such as ``{"noise": "babble"}``.
    """

    clip_id: str
    reference: str
    hypotheses: Mapping[str, ClipHypothesis]
    strata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ClipOutputs:
    """How far the outputs of one clip lie from the reference's.

    Parameters
    ----------
    clip_id : the clip's id.
    outputs : candidate to output name to its metrics.
    """

    clip_id: str
    outputs: Mapping[str, Mapping[str, OutputMetrics]]


@dataclass(frozen=True)
class ErrorRate:
    """An error rate with the counts behind it.

    Parameters
    ----------
    counts : errors and hits, summed over the clips.
    interval : confidence interval of the rate; None for fewer than two clips or an empty reference.
    """

    counts: ErrorCounts
    interval: Interval | None

    @property
    def rate(self) -> float:
        """Errors for each reference unit, a fraction; NaN where the reference is empty."""
        return self.counts.rate


@dataclass(frozen=True)
class Increase:
    """How much higher a candidate's rate is than the reference's on the same clips; negative is better.

    Parameters
    ----------
    rate : candidate minus reference, as a fraction.
    interval : confidence interval of it, paired by clip; None for fewer than two clips.
    p_value : how likely so large a difference is where both are alike (`permutation_test`, two-sided).
    """

    rate: float
    interval: Interval | None
    p_value: float = 1.0


@dataclass(frozen=True)
class Recognition:
    """How well one runner recognised a group of clips.

    Parameters
    ----------
    wer : word error rate.
    cer : character error rate.
    wer_increase : against the reference runner; None for that runner itself.
    """

    wer: ErrorRate
    cer: ErrorRate
    wer_increase: Increase | None


@dataclass(frozen=True)
class Stratum:
    """The clips that share one value of one factor, and how each runner recognised them.

    Parameters
    ----------
    factor : such as ``noise``; ``overall`` for all clips.
    value : such as ``babble``; ``all`` for all clips.
    num_clips : clips in the group.
    runners : runner to its result; the reference runner comes first.
    """

    factor: str
    value: str
    num_clips: int
    runners: Mapping[str, Recognition]

    @property
    def num_words(self) -> int:
        """Reference words in the group."""
        return next(iter(self.runners.values())).wer.counts.num_reference

    def __str__(self) -> str:
        return f"{self.factor}={self.value}"


def summarize_clips(
    clips: Sequence[ClipResult], config: BootstrapConfig, *, factor: str = "overall", value: str = "all"
) -> Stratum:
    """Sum a group of clips up.

    Parameters
    ----------
    clips : at least one; all with the same runners, the first of which is the reference.
    config : how the intervals are made.
    factor : the factor that the clips share.
    value : its value.
    """
    names = list(clips[0].hypotheses)
    errors = {name: [clip.hypotheses[name].words.num_errors for clip in clips] for name in names}
    words = [clip.hypotheses[names[0]].words.num_reference for clip in clips]
    results: dict[str, Recognition] = {}
    for name in names:
        rows = [clip.hypotheses[name] for clip in clips]
        wer = ErrorRate(total(row.words for row in rows), rate_interval(errors[name], words, config))
        spelled = [row.characters for row in rows]
        cer = ErrorRate(
            total(spelled),
            rate_interval(
                [count.num_errors for count in spelled], [count.num_reference for count in spelled], config
            ),
        )
        increase = None
        if name != names[0]:
            increase = Increase(
                (sum(errors[name]) - sum(errors[names[0]])) / sum(words) if sum(words) else float(np.nan),
                difference_interval(errors[names[0]], errors[name], words, config),
                permutation_test(np.subtract(errors[name], errors[names[0]]), seed=config.seed),
            )
        results[name] = Recognition(wer, cer, increase)
    return Stratum(factor, value, len(clips), results)


def summarize_strata(clips: Sequence[ClipResult], config: BootstrapConfig) -> tuple[Stratum, ...]:
    """Sum up every value of every factor; factors in order of appearance, values in natural order.

    A clip without a value for a factor counts in none of that factor's strata.
    """
    factors = list(dict.fromkeys(factor for clip in clips for factor in clip.strata))
    strata = []
    for factor in factors:
        groups: dict[str, list[ClipResult]] = {}
        for clip in clips:
            if factor in clip.strata:
                groups.setdefault(clip.strata[factor], []).append(clip)
        for value in sorted(groups, key=_natural):
            strata.append(summarize_clips(groups[value], config, factor=factor, value=value))
    return tuple(strata)


def worst_clips(clips: Iterable[ClipResult], runner: str, count: int) -> list[ClipResult]:
    """Return the clips that a runner makes worst: most added errors first, then most errors, then by id."""

    def key(clip: ClipResult) -> tuple[int, int, str]:
        errors = clip.hypotheses[runner].words.num_errors
        reference = next(iter(clip.hypotheses.values())).words.num_errors
        return (reference - errors, -errors, clip.clip_id)

    return sorted((clip for clip in clips if clip.hypotheses[runner].words.num_errors), key=key)[:count]


def _natural(value: str) -> tuple[int, float, str]:
    number = value.split(maxsplit=1)[0] if value.strip() else ""
    try:
        return (0, float(number), value)
    except ValueError:
        return (1, 0.0, value)
