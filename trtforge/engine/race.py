"""Decide by measured times whether INT8 is kept, and where: a pure function of what is measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
    float_blocks : blocks of layers that stay in floating point.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    by_cache: bool = False
    float_blocks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """What became of one way.

    Parameters
    ----------
    way : the way.
    ratios : shape to the time by that of FP16; empty where it could not be built.
    error : why it could not be built, or None.
    """

    way: Way
    ratios: Mapping[str, Spread] = field(default_factory=dict)
    error: str | None = None

    @property
    def ratio(self) -> float:
        """Geometric mean of the medians over the shapes; infinite where the way could not be built."""
        if not self.ratios:
            return float("inf")
        return statistics.geometric_mean(spread.median for spread in self.ratios.values())

    def wins(self, margin: float) -> bool:
        """Say whether it beats FP16 by a margin overall, and at each shape in three rounds of four."""
        return self.ratio <= 1 - margin and all(spread.high <= 1 for spread in self.ratios.values())

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
    margin: float = 0.02,
    max_builds: int = 12,
) -> Verdict:
    """Try ways to build with INT8, then by regions, and keep the fastest that beats FP16.

    First each way is tried with all layers in INT8. From the best of them, or where none beats FP16 from
    FP16, regions of neighbouring blocks change sides, halves first, then halves of what did not help: a
    change stays where it makes the engine faster by the margin. A way that cannot be built is noted and left.

    Parameters
    ----------
    ways : ways to build all layers in INT8.
    blocks : the blocks of the network, in graph order; regions are runs of them. One or none: no regions.
    measure : builds one way and times it beside FP16; what it raises of a build, of a precision that is
        required, of quantizing or of running is noted.
    margin : what a candidate must gain, a share of the time.
    max_builds : most engines to be built, beside that in FP16.

    Raises
    ------
    ConfigError : the margin is negative or 1 and more, or there is nothing to build.
    InputError : a way was timed at no shape, or in fewer than two rounds.
    DeviceLostError : the GPU was lost.
    """
    if not 0 <= margin < 1 or max_builds < 1 or not ways:
        raise ConfigError(
            f"a race needs a margin of 0 to 1, max_builds of 1 or more and a way, got {margin}, {max_builds} "
            f"and {len(ways)} ways",
            settings=("margin", "max_builds"),
        )
    trials: list[Trial] = []

    def attempt(way: Way) -> Trial:
        try:
            trials.append(Trial(way, sum_up(measure(way))))
        except DeviceLostError:
            raise  # nothing runs in this process any more
        except (BuildError, ExecutionError, PrecisionError, QuantizationError) as error:
            trials.append(Trial(way, error=error.message))
        return trials[-1]

    whole = [attempt(way) for way in ways[:max_builds]]
    best = min(whole, key=lambda trial: trial.ratio)
    chosen = best if best.wins(margin) else None
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
        trial = attempt(Way(name, base.settings, False, kept))
        so_far = chosen.ratio if chosen else 1.0
        if trial.wins(margin) and trial.ratio <= so_far * (1 - margin):
            chosen, in_int8 = trial, changed
        else:
            pending += _halves(region)
    return Verdict(chosen, tuple(trials), _reason(chosen, trials, margin))


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


def _reason(chosen: Trial | None, trials: Sequence[Trial], margin: float) -> str:
    if chosen is not None:
        return f"{chosen.way.name} takes {100 * chosen.ratio:.0f} % of the time of FP16"
    built = [trial for trial in trials if trial.error is None]
    if not built:
        return f"FP16: none of {len(trials)} ways to build with INT8 worked"
    best = min(built, key=lambda trial: trial.ratio)
    slow = max(best.ratios.items(), key=lambda item: item[1].high)
    told = (
        f"FP16: the best of {len(built)} engines with INT8, {best.way.name}, takes {100 * best.ratio:.0f} %"
    )
    if best.ratio <= 1 - margin:
        return f"{told} of its time, but at {slow[0]} up to {100 * slow[1].high:.0f} %"
    return f"{told} of its time, and {100 * (1 - margin):.0f} % or less were asked"
