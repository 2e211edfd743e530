"""Make clips worse on purpose: speed, rooms, noise, babble, level, band and codec, drawn and recorded."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge._optional import require
from trtforge.audio._rejection import refuse_bad_share
from trtforge.audio.clip import Clip, describe
from trtforge.audio.clips import ClipSet
from trtforge.audio.conditions import Condition, assign
from trtforge.audio.effects import Effects
from trtforge.audio.spool import Spool
from trtforge.errors import ClipError, ConfigError

# Leaves 16-bit encoding its last step.
_CEILING = 0.99
_MAX_DB = 100


@dataclass(frozen=True)
class AugmentRecipe:
    """What may happen to a clip. Each clip gets one value of each list; the values occur equally often.

    In the order in which it happens:

    Parameters
    ----------
    speed : factors; 1.1 speaks faster and higher, as a tape does.
    reverb : ``"dry"``, or names of folders of impulse responses.
    noise : ``"none"``, ``"babble"`` (other clips of the set on top of each other), or names of folders of
        recordings such as MUSAN's or DEMAND's.
    snr_db : ratios of the clip's RMS over the noise's, -100 to 100 dB; clips without noise have none.
    gain_db : changes of level, -100 to 100 dB.
    band_hz : None for all, or the two edges of a band.
    codec : ``"none"``, ``"opus"``, ``"mp3"`` or ``"vorbis"``.
    folders : where the folders lie that ``reverb`` and ``noise`` name.
    babble_voices : clips that a babble is made of.
    sampling_rate : of the clips that come out, in Hz.

    Raises
    ------
    ConfigError : a list is empty, a value is out of range, a folder is missing, or noise has no ratio.

    References
    ----------
    T. Ko, V. Peddinti, D. Povey and S. Khudanpur, "Audio Augmentation for Speech Recognition", Interspeech
    2015 (speed). D. Snyder, G. Chen and D. Povey, "MUSAN: A Music, Speech, and Noise Corpus", 2015 (babble).
    """

    speed: tuple[float, ...] = (1.0,)
    reverb: tuple[str, ...] = ("dry",)
    noise: tuple[str, ...] = ("none",)
    snr_db: tuple[float, ...] = ()
    gain_db: tuple[float, ...] = (0.0,)
    band_hz: tuple[tuple[float, float] | None, ...] = (None,)
    codec: tuple[str, ...] = ("none",)
    folders: Mapping[str, str | os.PathLike[str]] = field(default_factory=dict, hash=False)
    babble_voices: int = 6
    sampling_rate: int = 16_000

    def __post_init__(self) -> None:
        for axis in ("speed", "reverb", "noise", "gain_db", "band_hz", "codec"):
            if not getattr(self, axis):
                raise ConfigError(f"{axis} lists no value; leave it out to change nothing")
        noisy = [name for name in self.noise if name != "none"]
        if bool(noisy) != bool(self.snr_db):
            raise ConfigError(f"noise {self.noise} and snr_db {self.snr_db} must be given together")
        named = {*noisy, *self.reverb} - {"babble", "dry"}
        missing = sorted(name for name in named if not Path(self.folders.get(name, "")).is_dir())
        if missing or not named <= self.folders.keys():
            raise ConfigError(
                f"no folder for {', '.join(sorted(missing or named - self.folders.keys()))}",
                hint='name it in folders, such as folders={"street": "noises/street"}',
            )
        if not all(0.5 <= factor <= 2 for factor in self.speed):
            raise ConfigError(f"speed must lie in 0.5 to 2, got {self.speed}")
        for axis in ("snr_db", "gain_db"):
            if not all(abs(level) <= _MAX_DB for level in getattr(self, axis)):
                raise ConfigError(f"{axis} must lie in -{_MAX_DB} to {_MAX_DB}, got {getattr(self, axis)}")
        for band in self.band_hz:
            if band is not None and not 0 < band[0] < band[1] < self.sampling_rate / 2:
                raise ConfigError(f"band_hz {band} must rise within 0 to {self.sampling_rate / 2:g} Hz")
        unknown = set(self.codec) - {"none", "opus", "mp3", "vorbis"}
        if unknown:
            raise ConfigError(f"codec must be none, opus, mp3 or vorbis, got {sorted(unknown)}")
        if self.babble_voices < 2:
            raise ConfigError(f"a babble takes at least 2 voices, got {self.babble_voices}")


def augment(clips: ClipSet, recipe: AugmentRecipe, seed: int = 0, *, max_bad_share: float = 0.1) -> ClipSet:
    """Make a set of the same clips under other conditions.

    Which clip gets what depends on the ids and the seed alone. What was done is written into each clip's
    ``recipe``, and its conditions into its strata. The audio is 16-bit FLAC in a temporary folder that lives
    as long as the set; `ClipSet.save` makes it last. A clip whose peak would exceed full scale is
    scaled down.

    Parameters
    ----------
    clips : the clips; their ids get ``-a`` and the seed appended.
    recipe : what may happen to them.
    seed : of all that is drawn.
    max_bad_share : share of clips that may be rejected, 0 to 1; the result names them in ``rejected``.

    Returns
    -------
    The set, in the order of the clips.

    Raises
    ------
    ClipSetError : more than ``max_bad_share`` of the clips cannot be decoded or bear the noise.
    ConfigError : a babble needs more clips than the set has.
    MissingExtraError : audiomentations is not installed.
    """
    require("audiomentations", "augment clips")
    if "babble" in recipe.noise and len(clips) <= recipe.babble_voices:
        raise ConfigError(
            f"a babble of {recipe.babble_voices} voices takes more clips than the {len(clips)} "
            f"of {clips.name!r}"
        )
    conditions = assign(clips.ids, recipe, seed)
    spool = Spool()
    effects = Effects(clips, recipe, seed, spool.folder / "babble.wav")
    made: list[Clip] = []
    rejected: dict[str, str] = {}
    for clip in clips:
        try:
            made.append(_augment(clip, conditions[clip.id], recipe, seed, effects, spool))
        except ClipError as error:
            rejected[clip.id] = error.message
    refuse_bad_share(rejected, len(clips), max_bad_share, clips.name)
    name = f"{clips.name}-a{seed}"
    return ClipSet(made, locate=spool, name=name, rejected=rejected, unverified=(c.id for c in made))


def _augment(
    clip: Clip, condition: Condition, recipe: AugmentRecipe, seed: int, effects: Effects, spool: Spool
) -> Clip:
    samples, steps = effects.apply(clip, condition)
    peak = float(np.abs(samples).max())
    if peak > _CEILING:
        samples = samples * np.float32(_CEILING / peak)
        steps.append({"scale": _CEILING / peak})
    clip_id = f"{clip.id}-a{seed}"
    audio = _flac(samples, recipe.sampling_rate)
    record: dict[str, Any] = {"clip": clip.id, "sha256": clip.sha256, "seed": seed, "steps": steps}
    strata = {**clip.strata, **condition.strata(recipe, clip.strata)}
    made = describe(clip_id, audio, text=clip.text, license=clip.license, strata=strata, recipe=record)
    spool.write(clip_id, audio)
    return made


def _flac(samples: NDArray[np.float32], sampling_rate: int) -> bytes:
    out = io.BytesIO()
    require("soundfile", "write audio files").write(
        out, samples, sampling_rate, format="FLAC", subtype="PCM_16"
    )
    return out.getvalue()
