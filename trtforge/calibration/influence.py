"""What each stratum does to the scales: choose them again without its clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from trtforge.calibration.choose import choose
from trtforge.calibration.clip_observations import ClipObservations
from trtforge.calibration.observations import Observations
from trtforge.calibration.orders import Strata, random_order
from trtforge.scales import Scales

NUM_DRAWS = 8


@dataclass(frozen=True)
class Influence:
    """One tensor's threshold with and without the clips of one stratum.

    Parameters
    ----------
    tensor : name of the tensor.
    factor, value : the stratum.
    num_clips : clips of the stratum.
    amax : threshold over all clips, in activation units.
    amax_without : threshold over the others, in activation units.
    by_chance : largest relative change, either way, when as many clips drawn at random are left out.
    """

    tensor: str
    factor: str
    value: str
    num_clips: int
    amax: float
    amax_without: float
    by_chance: float = 0.0

    @property
    def change(self) -> float:
        """Relative change of the threshold when the stratum goes: -0.2 is a fifth less."""
        return self.amax_without / self.amax - 1

    def decides(self, max_change: float) -> bool:
        """Say whether the threshold changes by more than this, and by more than by chance."""
        return abs(self.change) > max(max_change, self.by_chance)


def influences(
    observed: ClipObservations, strata: Strata, scales: Scales, *, percentile: float = 99.99
) -> tuple[Influence, ...]:
    """Leave out one stratum at a time and choose every threshold again.

    Histograms merge exactly, so no clip runs through the network again. Memory holds three histograms for
    each tensor and value of one factor: 96 KiB each.

    Leaving out clips changes thresholds whatever their stratum. How much, is told by leaving out as many at
    random, 8 times with fixed seeds; "as many" is rounded up to a power of two, so that few numbers have to
    be tried.

    Parameters
    ----------
    observed : what each clip gave.
    strata : clip id to factor to value; clips without a factor stay in when its values are left out.
    scales : chosen over all clips; its method is used again.
    percentile : as for `choose`.

    Returns
    -------
    One entry for each tensor and value of each factor of more than one value, the largest change first.

    Raises
    ------
    CalibrationError : a tensor held no values outside a stratum.
    """
    found: list[Influence] = []
    chance: dict[int, dict[str, float]] = {}
    factors = dict.fromkeys(factor for clip in observed.clip_ids for factor in strata.get(clip, {}))
    for factor in factors:
        groups: dict[str | None, list[str]] = {}
        for clip in observed.clip_ids:
            groups.setdefault(strata.get(clip, {}).get(factor), []).append(clip)
        if len(groups) < 2:
            continue
        for (value, clips), rest in zip(groups.items(), _all_but_each(observed, groups), strict=True):
            if value is None:
                continue
            without = choose(rest, scales.method, percentile=percentile)
            num_drawn = min(1 << (len(clips) - 1).bit_length(), len(observed) - 1)
            if num_drawn not in chance:
                chance[num_drawn] = _by_chance(observed, num_drawn, scales, percentile)
            found += [
                Influence(
                    name,
                    factor,
                    value,
                    len(clips),
                    scales[name].amax,
                    without[name].amax,
                    chance[num_drawn][name],
                )
                for name in scales
            ]
    return tuple(sorted(found, key=lambda influence: -abs(influence.change)))


def _by_chance(
    observed: ClipObservations, num_drawn: int, scales: Scales, percentile: float
) -> dict[str, float]:
    largest = dict.fromkeys(scales, 0.0)
    for seed in range(NUM_DRAWS):
        order = random_order(observed.clip_ids, seed=seed)
        without = choose(observed.merged(order[num_drawn:]), scales.method, percentile=percentile)
        for name in scales:
            change = abs(without[name].amax / scales[name].amax - 1)
            largest[name] = max(largest[name], change)
    return largest


def _all_but_each(observed: ClipObservations, groups: dict[str | None, list[str]]) -> Iterator[Observations]:
    # Merged from both ends, for counts of a group cannot be taken out again: the range may have to shrink.
    merged = [observed.merged(clips) for clips in groups.values()]
    from_left = list(accumulate(merged, Observations.merge))
    from_right = list(accumulate(reversed(merged), Observations.merge))[::-1]
    yield from_right[1]
    for index in range(1, len(merged) - 1):
        yield from_left[index - 1].merge(from_right[index + 1])
    yield from_left[-2]
