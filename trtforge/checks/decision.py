"""Decide from two sets of values whether something got worse; values in, verdict out."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trtforge.accuracy import permutation_test
from trtforge.checks.config import CheckConfig
from trtforge.errors import InputError

Verdict = Literal["pass", "fail", "undecided"]
Unit = Literal["points", "dB", "%"]

# Fewer ratios on a side, and no order of them would be rare enough.
MIN_RUNS = 8
# Patterns drawn at first, and how many of those that a decision needs must lie above it for a steady p-value.
_DRAWS, _DRAWS_ABOVE = 10_000, 10


@dataclass(frozen=True)
class Finding:
    """What was found of one quantity.

    Parameters
    ----------
    name : what was judged, such as ``WER``.
    verdict : ``pass``, ``fail``, or ``undecided`` where there are too few values to tell.
    baseline : its value then: a rate as a fraction, a mean SNR in dB, a ratio of times.
    candidate : its value now.
    change : how much worse it got, in the unit of the budget; negative is better.
    budget : largest change allowed.
    resolution : step beyond the budget that must not slip through.
    unit : how change, budget and resolution are shown: ``points`` and ``%`` are fractions times 100.
    num_values : clips, or runs of timing, that were judged.
    p_worse : how likely so large a change is where the true one is just the budget.
    p_within : how likely so small a change is where the true one is budget and resolution together.
    num_needed : values of this kind with which an unchanged candidate would pass and a bad one fail; None
        where not known.
    """

    name: str
    verdict: Verdict
    baseline: float
    candidate: float
    change: float
    budget: float
    resolution: float
    unit: Unit
    num_values: int
    p_worse: float
    p_within: float
    num_needed: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain JSON values."""
        return asdict(self)


def decide(p_worse: float, p_within: float, *, false_alarm_rate: float, miss_rate: float) -> Verdict:
    """Choose the verdict: worse if that is shown, else within budget if that is shown, else neither."""
    if p_worse <= false_alarm_rate:
        return "fail"
    return "pass" if p_within <= miss_rate else "undecided"


def judge_words(
    baseline: ArrayLike,
    candidate: ArrayLike,
    words: ArrayLike,
    config: CheckConfig,
    *,
    false_alarm_rate: float | None = None,
) -> Finding:
    """Judge the word errors of the same clips, then and now.

    That they got worse is tested by swapping then and now clip by clip (`permutation_test`), after the
    budget's share was taken off each clip. That they did not is tested against an increase of budget and
    resolution: the sum of the changes is set against its spread if that were true. The spread is the one
    seen, and that of the errors that are yet missing, which are taken to come ``errors_per_clip`` at a time,
    or as many as the clips show. A set without a single change is therefore no proof by itself: it must be so
    large that the increase would have shown. The errors that were added, those mended left aside, are held
    against the increase too, since they cannot be fewer; else much that was mended would count as doubt.
    Clips so few that no order of signs is as rare as the miss rate, 6 and fewer at 1 %, never pass: what they
    have in common may be chance.

    Parameters
    ----------
    baseline : word errors of each clip then, int [num_clips].
    candidate : word errors of each clip now, int [num_clips].
    words : reference words of each clip, int [num_clips].
    config : budgets and error rates.
    false_alarm_rate : this test's share; all of it by default.

    Raises
    ------
    InputError : the three differ in length, or there is no word.

    References
    ----------
    L. Gillick and S. Cox, "Some statistical issues in the comparison of speech recognition algorithms",
    ICASSP 1989 (errors of matched clips). Where errors are only added, and always as many to a clip, the
    second test is the score test of a Poisson count of clips; C. Farrington and G. Manning, Statistics in
    Medicine 9, 1990, on variances taken under the hypothesis in tests of non-inferiority.
    """
    then, now, count = _columns(baseline, candidate, words)
    total = float(count.sum())
    if total <= 0:
        raise InputError("the references hold no words to judge")
    changes = now - then
    limit = config.wer_budget + config.wer_resolution
    rate = float(changes.sum()) / total
    added = np.maximum(changes, 0)
    clump = max(config.errors_per_clip, float(added @ added / added.sum()) if added.any() else 0.0)
    fewest = _fewest_clips(config.miss_rate)
    spreads = [_spread(values, count, fewest) for values in (changes, added)]
    p_worse = _p_greater(changes - config.wer_budget * count, config, false_alarm_rate)
    p_within = min(
        _p_fewer(limit * total - float(values.sum()), spread, clump)
        for values, spread in zip((changes, added), spreads, strict=True)
    )
    # An unchanged candidate has no increase, but errors come and go as they did here.
    words_needed = min(
        _words_needed(limit - rate_then, spread / total, clump, config.miss_rate)
        for rate_then, spread in zip((0.0, float(added.sum()) / total), spreads, strict=True)
    )
    num_needed = max(fewest, _fewest_to_fail(config, false_alarm_rate))
    if math.isfinite(words_needed):
        num_needed = max(num_needed, math.ceil(words_needed * count.size / total))
    return Finding(
        name="WER",
        verdict=_verdict(p_worse, p_within, config, false_alarm_rate),
        baseline=float(then.sum()) / total,
        candidate=float(now.sum()) / total,
        change=rate,
        budget=config.wer_budget,
        resolution=config.wer_resolution,
        unit="points",
        num_values=count.size,
        p_worse=p_worse,
        p_within=p_within,
        num_needed=num_needed,
    )


def judge_snr(
    baseline: ArrayLike,
    candidate: ArrayLike,
    config: CheckConfig,
    *,
    name: str = "SNR",
    false_alarm_rate: float | None = None,
) -> Finding:
    """Judge the signal to noise ratios of one output on the same clips, then and now, in dB.

    Both hypotheses are tested by swapping then and now clip by clip (`permutation_test`). That takes losses
    to lie as far above their mean as below it; where a few clips lose much more or much less than most, a set
    of few clips fails, and passes, more often than stated.

    Parameters
    ----------
    baseline : SNR of each clip then, float [num_clips], in dB.
    candidate : SNR of each clip now, float [num_clips], in dB.
    config : budgets and error rates.
    name : of the finding.
    false_alarm_rate : this test's share; all of it by default.

    Raises
    ------
    InputError : the two differ in length, or there is no clip.
    """
    then, now = _columns(baseline, candidate)
    loss = then - now
    limit = config.snr_budget_db + config.snr_resolution_db
    p_worse = _p_greater(loss - config.snr_budget_db, config, false_alarm_rate)
    p_within = permutation_test(limit - loss, alternative="greater", seed=config.seed)
    return Finding(
        name=name,
        verdict=_verdict(p_worse, p_within, config, false_alarm_rate),
        baseline=float(then.mean()),
        candidate=float(now.mean()),
        change=float(loss.mean()),
        budget=config.snr_budget_db,
        resolution=config.snr_resolution_db,
        unit="dB",
        num_values=then.size,
        p_worse=p_worse,
        p_within=p_within,
        num_needed=max(_fewest_to_fail(config, false_alarm_rate), _fewest_clips(config.miss_rate)),
    )


def judge_speed(
    baseline: ArrayLike,
    candidate: ArrayLike,
    config: CheckConfig,
    *,
    false_alarm_rate: float | None = None,
) -> Finding:
    """Judge the ratios of the candidate's time to the reference's, each measured side by side, then and now.

    The ranks of the ratios are compared after those of now were divided by what is allowed, so that a few
    disturbed runs weigh no more than others. Runs are taken to be independent; what is inside a run, such as
    rounds that follow each other, need not be (`Timings.of_runs`).

    Parameters
    ----------
    baseline : ratio of each run then, float [num_runs]; above 0.
    candidate : ratio of each run now, float [any number of runs]; above 0.
    config : budgets and error rates.
    false_alarm_rate : this test's share; all of it by default.

    Raises
    ------
    InputError : there are fewer than 8 runs on a side, or a ratio is not positive.

    References
    ----------
    H. Mann and D. Whitney, "On a test of whether one of two random variables is stochastically larger than
    the other", Annals of Mathematical Statistics 18, 1947; normal approximation, corrected for ties and
    continuity.
    """
    then, now = (np.asarray(values, dtype=np.float64) for values in (baseline, candidate))
    for values in (then, now):
        if (
            values.ndim != 1
            or values.size < MIN_RUNS
            or not (np.isfinite(values).all() and (values > 0).all())
        ):
            raise InputError(
                f"speed is judged from {MIN_RUNS} or more positive ratios on each side, got {values.size}",
                hint="time more runs of reference and candidate side by side",
            )
    allowed = 1 + config.speed_budget
    p_worse = _rank_sum(now / allowed, then)
    p_within = _rank_sum(then, now / (allowed + config.speed_resolution))
    before, after = float(np.median(then)), float(np.median(now))
    return Finding(
        name="speed",
        verdict=_verdict(p_worse, p_within, config, false_alarm_rate),
        baseline=before,
        candidate=after,
        change=after / before - 1,
        budget=config.speed_budget,
        resolution=config.speed_resolution,
        unit="%",
        num_values=now.size,
        p_worse=p_worse,
        p_within=p_within,
        num_needed=_fewest_runs(
            min(config.miss_rate, config.false_alarm_rate if false_alarm_rate is None else false_alarm_rate)
        ),
    )


def _verdict(p_worse: float, p_within: float, config: CheckConfig, share: float | None) -> Verdict:
    rate = config.false_alarm_rate if share is None else share
    return decide(p_worse, p_within, false_alarm_rate=rate, miss_rate=config.miss_rate)


def _p_greater(values: NDArray[np.float64], config: CheckConfig, share: float | None) -> float:
    """Test whether values sum to more than chance gives, with as many draws as the share asks for."""
    rate = config.false_alarm_rate if share is None else share
    found = permutation_test(values, alternative="greater", seed=config.seed)
    draws = math.ceil(_DRAWS_ABOVE / rate)
    if draws <= _DRAWS or found > _DRAWS_ABOVE / _DRAWS:
        return found
    return permutation_test(values, alternative="greater", num_permutations=draws, seed=config.seed)


def _spread(values: NDArray[np.float64], count: NDArray[np.float64], fewest: int) -> float:
    """Return the variance of a sum of clips' values around its share of the words; infinite for too few."""
    if values.size < fewest:
        return math.inf
    rate = float(values.sum() / count.sum())
    return float(np.sum((values - rate * count) ** 2)) * values.size / (values.size - 1)


def _p_fewer(missing: float, spread: float, clump: float) -> float:
    """Return how likely so many errors are missing where they come in clumps, beside the spread seen."""
    return _upper_tail(missing / math.sqrt(spread + clump * missing)) if missing > 0 else 1.0


def _words_needed(missing_rate: float, spread_per_word: float, clump: float, miss_rate: float) -> float:
    """Return with how many words `_p_fewer` falls to the miss rate; infinite where no number would do."""
    if missing_rate <= 0:
        return math.inf
    quantile = NormalDist().inv_cdf(1 - miss_rate)
    return quantile**2 * (spread_per_word + clump * missing_rate) / missing_rate**2


def _fewest_to_fail(config: CheckConfig, share: float | None) -> int:
    return _fewest_clips(config.false_alarm_rate if share is None else share)


def _fewest_clips(rate: float) -> int:
    """Return the number of clips below which not even one sign for all of them is rare enough."""
    return max(2, math.ceil(-math.log2(rate)))


def _fewest_runs(rate: float) -> int:
    """Return the number of runs on each side below which not even all of one side slower is rare enough."""
    count = MIN_RUNS
    while _rank_sum(np.arange(count, 2.0 * count), np.arange(float(count))) > rate:
        count += 1
    return count


def _upper_tail(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2))


def _rank_sum(larger: NDArray[np.float64], smaller: NDArray[np.float64]) -> float:
    """Return how likely the first are ranked this high above the second where both are drawn alike."""
    num_larger, num_smaller = larger.size, smaller.size
    below = np.searchsorted(np.sort(smaller), larger, side="left").sum()
    not_above = np.searchsorted(np.sort(smaller), larger, side="right").sum()
    wins = (below + not_above) / 2
    total = num_larger + num_smaller
    _, ties = np.unique(np.concatenate([larger, smaller]), return_counts=True)
    tied = float(np.sum(ties.astype(np.float64) ** 3 - ties)) / (total * (total - 1))
    variance = num_larger * num_smaller / 12 * (total + 1 - tied)
    if variance <= 0:
        return 1.0
    return _upper_tail((wins - num_larger * num_smaller / 2 - 0.5) / math.sqrt(variance))


def _columns(*values: ArrayLike) -> list[NDArray[np.float64]]:
    arrays = [np.asarray(value, dtype=np.float64) for value in values]
    if any(array.ndim != 1 or array.shape != arrays[0].shape or array.size == 0 for array in arrays):
        shapes = ", ".join(str(list(array.shape)) for array in arrays)
        raise InputError(f"there must be one value for each clip, then and now, got shapes {shapes}")
    return arrays
