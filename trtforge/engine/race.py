"""Decide by measured times whether INT8 is kept, and where: a pure function of what is measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trtforge.errors import (
    BuildError,
    ConfigError,
    DeviceLostError,
    ExecutionError,
    PrecisionError,
    QuantizationError,
)
from trtforge.ratios import Ratios, Spread, sum_up


@dataclass(frozen=True)
class Way:
    """One way to build.

    Parameters
    ----------
    name : what it is, in a few words.
    settings : fields of `BuildConfig` that differ from what was asked.
    by_cache : whether INT8 scales go in as a calibration cache, and not as Q/DQ nodes.
    typed_rest : whether casts say that what is not INT8 is FP16.
    float_blocks : blocks of layers that stay in floating point.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    by_cache: bool = False
    typed_rest: bool = False
    float_blocks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """What became of one way.

    Parameters
    ----------
    way : the way.
    ratios : shape to the time by that of FP16; empty where it could not be built.
    ends : those of the shapes that a profile only ends at, and is not tuned for.
    error : why it could not be built, or None.
    """

    way: Way
    ratios: Mapping[str, Spread] = field(default_factory=dict)
    ends: frozenset[str] = frozenset()
    error: str | None = None

    @property
    def ratio(self) -> float:
        """Geometric mean of the medians over the tuned shapes; infinite where the way could not be built."""
        if not self.ratios:
            return float("inf")
        return statistics.geometric_mean(spread.median for spread in self._tuned.values())

    def wins(self, margin: float, most_loss: float) -> bool:
        """Say whether it beats FP16.

        It does where it gains a margin over the tuned shapes, is not slower at any of them in three rounds of
        four, and loses no more than ``most_loss`` where a profile ends.
        """
        return self.ratio <= 1 - margin and not self.losses(most_loss)

    def losses(self, most_loss: float) -> dict[str, float]:
        """Return the shapes at which it is too slow, with the share of FP16's time that says so."""
        slow = {shape: spread.high for shape, spread in self._tuned.items() if spread.high > 1}
        ends = {shape: self.ratios[shape].median for shape in self.ratios if shape in self.ends}
        return slow | {shape: ratio for shape, ratio in ends.items() if ratio > 1 + most_loss}

    @property
    def _tuned(self) -> dict[str, Spread]:
        return {shape: spread for shape, spread in self.ratios.items() if shape not in self.ends}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "way": self.way.name,
            "float_blocks": list(self.way.float_blocks),
            "ratio": None if self.error is not None else round(self.ratio, 4),
            "shapes": {
                shape: [round(x, 4) for x in (spread.low, spread.median, spread.high)]
                for shape, spread in self.ratios.items()
            },
            "ends": sorted(self.ends & self.ratios.keys()),
            "error": self.error,
        }


@dataclass(frozen=True)
class Verdict:
    """How a race ended.

    Parameters
    ----------
    chosen : the trial whose engine is kept; None for FP16.
    trials : all of them, in order.
    reason : why, in one sentence.
    """

    chosen: Trial | None
    trials: tuple[Trial, ...]
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "chosen": self.chosen.way.name if self.chosen else "FP16",
            "reason": self.reason,
            "tried": [trial.to_json() for trial in self.trials],
        }


def race(
    ways: Sequence[Way],
    blocks: Sequence[str],
    measure: Callable[[Way], Ratios],
    *,
    ends: Collection[str] = (),
    margin: float = 0.02,
    most_loss: float = 0.05,
    max_builds: int = 12,
) -> Verdict:
    """Try ways to build with INT8, then by regions, and keep the fastest that beats FP16.

    First each way is tried with all layers in INT8. Of those that win, the first that is within the margin of
    the fastest is kept, so that ties go to the plainer way. From it, or where none beats FP16 from
    FP16, regions of neighbouring blocks change sides, halves first, then halves of what did not help: a
    change stays where it makes the engine faster by the margin. A way that cannot be built is noted and left.

    Parameters
    ----------
    ways : ways to build all layers in INT8.
    blocks : the blocks of the network, in graph order; regions are runs of them. One or none: no regions.
    measure : builds one way and times it beside FP16; what it raises of a build, of a precision that is
        required, of quantizing or of running is noted.
    ends : those of the shapes it times that profiles only end at, and are not tuned for.
    margin : what a candidate must gain over the tuned shapes, a share of the time.
    most_loss : what it may lose at an end, a share of the time.
    max_builds : most engines to be built, beside that in FP16.

    Raises
    ------
    ConfigError : the margin is negative or 1 and more, the loss is negative, or there is nothing to build.
    InputError : a way was timed at no shape, or in fewer than two rounds.
    DeviceLostError : the GPU was lost.
    """
    if not 0 <= margin < 1 or not most_loss >= 0 or max_builds < 1 or not ways:
        raise ConfigError(
            "a race needs a margin of 0 to 1, most_loss of 0 or more, max_builds of 1 or more and a way, got "
            f"{margin}, {most_loss}, {max_builds} and {len(ways)} ways",
            settings=("margin", "most_loss", "max_builds"),
        )
    trials: list[Trial] = []

    def attempt(way: Way) -> Trial:
        try:
            trials.append(Trial(way, sum_up(measure(way)), frozenset(ends)))
        except DeviceLostError:
            raise  # nothing runs in this process any more
        except (BuildError, ExecutionError, PrecisionError, QuantizationError) as error:
            trials.append(Trial(way, error=error.message))
        return trials[-1]

    whole = [attempt(way) for way in ways[:max_builds]]
    winners = [trial for trial in whole if trial.wins(margin, most_loss)]
    chosen = _plainest(winners, margin) if winners else None
    best = chosen or _plainest(whole, margin)
    in_int8 = set(blocks) if chosen else set[str]()
    # Where no way could be built whole, the first may still be built in part.
    base = best.way if best.error is None else ways[0]
    # With Q/DQ nodes alone can a part be left in floating point.
    base = base if not base.by_cache else next((way for way in ways if not way.by_cache), base)
    pending = _halves(blocks) if not base.by_cache else []
    while pending and len(trials) < max_builds:
        region = pending.pop(0)
        changed = in_int8 ^ set(region)
        if not changed or changed == set(blocks):
            pending += _halves(region)
            continue
        kept = tuple(block for block in blocks if block not in changed)
        name = f"{base.name}, INT8 in {_runs(blocks, changed)}"
        trial = attempt(replace(base, name=name, by_cache=False, float_blocks=kept))
        so_far = chosen.ratio if chosen else 1.0
        if trial.wins(margin, most_loss) and trial.ratio <= so_far * (1 - margin):
            chosen, in_int8 = trial, changed
        else:
            pending += _halves(region)
    return Verdict(chosen, tuple(trials), _reason(chosen, trials, margin, most_loss))


def _plainest(trials: Sequence[Trial], margin: float) -> Trial:
    """Return the first of the trials that are within the margin of the fastest."""
    least = min(trial.ratio for trial in trials)
    return next(trial for trial in trials if trial.ratio * (1 - margin) <= least)


def _halves(region: Sequence[str]) -> list[tuple[str, ...]]:
    middle = len(region) // 2
    return [tuple(region[:middle]), tuple(region[middle:])] if middle else []


def _runs(blocks: Sequence[str], chosen: Iterable[str]) -> str:
    """Name runs of neighbouring blocks: ``layer.0 to layer.3 and layer.7``."""
    wanted, runs = set(chosen), list[list[str]]()
    previous = -2
    for at, block in enumerate(blocks):
        if block in wanted:
            if at != previous + 1:
                runs.append([])
            runs[-1].append(block)
            previous = at
    return " and ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def _reason(chosen: Trial | None, trials: Sequence[Trial], margin: float, most_loss: float) -> str:
    if chosen is not None:
        told = f"{chosen.way.name} takes {100 * chosen.ratio:.0f} % of the time of FP16"
        slow = chosen.losses(0)
        return told + "".join(f", and {100 * ratio:.0f} % at {shape}" for shape, ratio in slow.items())
    built = [trial for trial in trials if trial.error is None]
    if not built:
        return f"FP16: none of {len(trials)} ways to build with INT8 worked"
    best = min(built, key=lambda trial: trial.ratio)
    told = (
        f"FP16: the best of {len(built)} engines with INT8, {best.way.name}, takes {100 * best.ratio:.0f} %"
    )
    if best.ratio <= 1 - margin:
        shape, most = max(best.losses(most_loss).items(), key=lambda item: item[1])
        return f"{told} of its time, but at {shape} up to {100 * most:.0f} %"
    return f"{told} of its time, and {100 * (1 - margin):.0f} % or less were asked"
