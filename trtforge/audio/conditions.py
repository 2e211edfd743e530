"""Which clip of a set gets which conditions, drawn so that every value occurs equally often."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from trtforge.audio.selection import random_order

if TYPE_CHECKING:
    from trtforge.audio.augmentation import AugmentRecipe

Value = TypeVar("Value")


@dataclass(frozen=True)
class Condition:
    """What happens to one clip; the fields are those of `AugmentRecipe`, one value each."""

    speed: float = 1.0
    reverb: str = "dry"
    noise: str = "none"
    snr_db: float | None = None
    gain_db: float = 0.0
    band_hz: tuple[float, float] | None = None
    codec: str = "none"

    def strata(self, recipe: AugmentRecipe, before: Mapping[str, str]) -> dict[str, str]:
        """Return the clip's values on the axes that the recipe touches.

        What is not done to the clip leaves the value that it had ``before``, if it had one.
        """
        band = "full" if self.band_hz is None else f"{self.band_hz[0]:g}-{self.band_hz[1]:g}"
        axes = {
            "speed": (recipe.speed, f"{self.speed:g}", self.speed == 1),
            "reverb": (recipe.reverb, self.reverb, self.reverb == "dry"),
            "noise": (recipe.noise, self.noise, self.noise == "none"),
            "snr": (
                recipe.noise,
                "clean" if self.snr_db is None else f"{self.snr_db:g}",
                self.snr_db is None,
            ),
            "gain": (recipe.gain_db, f"{self.gain_db:g}", self.gain_db == 0),
            "band": (recipe.band_hz, band, self.band_hz is None),
            "codec": (recipe.codec, self.codec, self.codec == "none"),
        }
        neutral = {(1.0,), ("dry",), ("none",), (0.0,), (None,)}
        return {
            axis: before.get(axis, value) if idle else value
            for axis, (values, value, idle) in axes.items()
            if tuple(values) not in neutral
        }


def assign(ids: Iterable[str], recipe: AugmentRecipe, seed: int) -> dict[str, Condition]:
    """Draw every clip's conditions.

    Parameters
    ----------
    ids : of the clips.
    recipe : the values to draw from; each occurs as often as any other, or once more. Ratios are dealt out
        among the clips of each noise by itself.
    seed : of the drawing.
    """
    names = list(ids)
    speed = _deal(names, recipe.speed, seed, "speed")
    reverb = _deal(names, recipe.reverb, seed, "reverb")
    noise = _deal(names, recipe.noise, seed, "noise")
    gain = _deal(names, recipe.gain_db, seed, "gain")
    band = _deal(names, recipe.band_hz, seed, "band")
    codec = _deal(names, recipe.codec, seed, "codec")
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[noise[name]].append(name)
    snr: dict[str, float] = {}
    for group in sorted(groups.keys() - {"none"}):
        snr |= _deal(groups[group], recipe.snr_db, seed, f"snr of {group}")
    return {
        name: Condition(
            speed[name], reverb[name], noise[name], snr.get(name), gain[name], band[name], codec[name]
        )
        for name in names
    }


def _deal(ids: Sequence[str], values: Sequence[Value], seed: int, axis: str) -> dict[str, Value]:
    """Deal values out to ids like cards; each axis shuffles the ids in its own way."""
    keys = random_order((f"{axis}\0{clip_id}" for clip_id in ids), seed)
    return {key.partition("\0")[2]: values[i % len(values)] for i, key in enumerate(keys)}
