"""One clip from its recipe: speak, put into a room, add noise, send through a channel, set the level."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import numpy as np

from calibration_sets.synthesis.design import SetName
from calibration_sets.synthesis.distort import (
    CodecKind,
    codec,
    impulse_response,
    mix,
    noise,
    reverberate,
    set_loudness,
    telephone,
)
from calibration_sets.synthesis.noises import SAMPLING_RATE, NoiseKind, Samples
from calibration_sets.synthesis.recipes import CODECS, SPLITS, Recipe, recipes
from calibration_sets.synthesis.speak import speak
from calibration_sets.synthesis.voices import voices

MIN_SECONDS, MAX_SECONDS = 3.0, 8.0
_MARGIN_S = 0.3
# Opus puts peaks up to a seventh higher than they were; decoded to integers they must not clip.
_CEILING = 0.85


class DurationError(RuntimeError):
    """A clip cannot be spoken within the durations of the set."""


def render(name: SetName, recipe: Recipe) -> Samples:
    """Make a clip.

    Parameters
    ----------
    name : the set, in which the babble's speakers are looked up.
    recipe : one of ``recipes(name)``.

    Returns
    -------
    float32 [num_samples], mono, 16 kHz, 3 to 8 s.

    Raises
    ------
    DurationError : the text is too short or too long for the recipe's rate.
    SpeechError : a speech program is missing or failed.
    """
    rng = np.random.default_rng(recipe.seed)
    strata = recipe.strata
    sound = utterance(name, recipe.id)
    if strata.reverb != "dry":
        sound = reverberate(sound, impulse_response(float(strata.reverb), rng))
    if strata.noise != "none":
        behind = [utterance(name, other) for other in recipe.babble]
        background = noise(cast(NoiseKind, strata.noise), len(sound), rng, behind)
        sound = mix(sound, background, float(strata.snr))
    if strata.channel == "telephone":
        sound = telephone(sound)
    elif strata.channel == "codec":
        kind = cast(CodecKind, recipe.codec)
        sound = codec(sound * np.float32(0.5 / np.abs(sound).max()), kind, CODECS[kind])
    return set_loudness(sound, recipe.loudness_dbfs, ceiling=_CEILING)


@lru_cache(maxsize=512)
def utterance(name: SetName, clip: str) -> Samples:
    """Speak a clip's text, dry and clean.

    Parameters
    ----------
    name : the set.
    clip : the id of one of its clips.

    Returns
    -------
    float32 [num_samples], mono, 16 kHz, 3 to 8 s.

    Raises
    ------
    DurationError : the text is too short or too long for the recipe's pace.
    """
    recipe = recipes(name)[clip]
    voice = {voice.name: voice for voice in voices(SPLITS[name])}[recipe.voice]
    pace = recipe.words_per_minute
    sound = speak(recipe.text, voice, words_per_minute=pace, pitch=recipe.pitch, margin_s=_MARGIN_S)
    seconds = len(sound) / SAMPLING_RATE
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise DurationError(
            f"{clip} takes {seconds:.2f} s at {pace} words a minute, which must be "
            f"{MIN_SECONDS:.0f} to {MAX_SECONDS:.0f} s: {recipe.text!r}"
        )
    sound.setflags(write=False)
    return sound
