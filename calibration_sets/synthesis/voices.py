"""The voices of each split: espeak-ng accents times timbre variants, and flite's recorded speakers.

A variant is a timbre laid over an accent (``en-gb+m3``). Variants whose definitions are near copies of one
another count as one family, and a family of the test set is found in no other split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

Split = Literal["training", "calibration", "test"]
Engine = Literal["espeak", "flite"]
Group = Literal["english", "other"]
PitchClass = Literal["low", "mid", "high"]

ENGLISH_ACCENTS = (
    "en-gb",
    "en-us",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-rp",
    "en-gb-x-gbcwmd",
    "en-029",
    "en-us-nyc",
)
OTHER_ACCENTS = ("de", "fr", "es", "it", "pl", "hi", "nl", "sv")
ACCENTS = ENGLISH_ACCENTS + OTHER_ACCENTS

PITCH_CLASSES: tuple[PitchClass, ...] = ("low", "mid", "high")

# Fundamental frequency at pitch 50: low below 105 Hz, mid from there to 165 Hz, high above. Left out are the
# variants that whisper, croak, echo or sound like a machine, and those whose formants lie so far from any
# speaker's that the vowels change.
_TEST: dict[PitchClass, tuple[str, ...]] = {
    "low": ("m4", "robert", "Mike"),
    "mid": ("m3", "Alex", "Michael"),
    "high": ("f3", "Annie", "steph"),
}
_CALIBRATION: dict[PitchClass, tuple[str, ...]] = {
    "low": ("m1", "paul", "quincy"),
    "mid": ("m7", "Gene2", "Diogo"),
    "high": ("f1", "f5", "linda"),
}
_TRAINING: dict[PitchClass, tuple[str, ...]] = {
    "low": (
        *("", "m1", "m2", "m6", "m8", "paul", "quincy", "Andy", "Denis", "Gene", "Storm", "adam", "benjamin"),
        *(
            "david",
            "edward",
            "edward2",
            "iven2",
            "iven4",
            "john",
            "klatt",
            "klatt2",
            "klatt4",
            "max",
            "pedro",
        ),
        "victor",
    ),
    "mid": (
        *("m5", "m7", "Gene2", "Diogo", "Henrique", "Hugo", "Nguyen", "antonio", "ed", "grandpa", "michel"),
        *("miguel", "pablo"),
    ),
    "high": (
        *(
            "f1",
            "f2",
            "f4",
            "f5",
            "Alicia",
            "Andrea",
            "anika",
            "aunty",
            "belinda",
            "grandma",
            "linda",
            "shelby",
        ),
    ),
}
_VARIANTS: dict[Split, dict[PitchClass, tuple[str, ...]]] = {
    "training": _TRAINING,
    "calibration": _CALIBRATION,
    "test": _TEST,
}
_FLITE: dict[Split, tuple[tuple[str, PitchClass], ...]] = {
    "training": (("kal", "low"), ("kal16", "low"), ("awb", "mid"), ("rms", "low"), ("slt", "high")),
    "calibration": (),
    "test": (("rms", "low"), ("slt", "high")),
}


@dataclass(frozen=True)
class Voice:
    """One voice of one speech engine.

    Parameters
    ----------
    name : unique among all voices, such as ``en-gb+m3`` or ``flite-slt``.
    engine : ``espeak`` or ``flite``.
    accent : the espeak-ng language that speaks, or ``flite-NAME``: a flite voice is an accent of its own.
    variant : the espeak-ng timbre, empty for the plain one; the voice's name for flite.
    group : ``english``, or ``other`` for a voice of another language that reads English.
    pitch_class : where the fundamental frequency lies at pitch 50; below 105 Hz, to 165 Hz, above.
    """

    name: str
    engine: Engine
    accent: str
    variant: str
    group: Group
    pitch_class: PitchClass


@cache
def voices(split: Split) -> tuple[Voice, ...]:
    """List the voices of a split.

    Parameters
    ----------
    split : ``training``, ``calibration`` or ``test``.

    Returns
    -------
    Voices in a fixed order. No espeak-ng variant of the test split occurs in another split; its flite voices
    occur in the training split, of which flite has only five, and never in the calibration split.

    Raises
    ------
    ValueError : the split is unknown.
    """
    if split not in _VARIANTS:
        raise ValueError(f"split must be one of {', '.join(_VARIANTS)}, not {split!r}")
    found = []
    for accent in ACCENTS:
        group: Group = "english" if accent in ENGLISH_ACCENTS else "other"
        for pitch_class, variants in _VARIANTS[split].items():
            for variant in variants:
                name = f"{accent}+{variant}" if variant else accent
                found.append(Voice(name, "espeak", accent, variant, group, pitch_class))
    for variant, pitch_class in _FLITE[split]:
        accent = f"flite-{variant}"
        found.append(Voice(accent, "flite", accent, variant, "english", pitch_class))
    return tuple(found)


def draw(pool: Sequence[Voice], rng: np.random.Generator, *, flite: float = 0.15) -> Voice:
    """Draw a voice so that accents, and pitch classes within an accent, are equally likely.

    Parameters
    ----------
    pool : voices to draw from, both engines or one.
    rng : the source of chance.
    flite : probability of a flite voice where the pool has both engines.

    Returns
    -------
    One voice of the pool.
    """
    engines = {voice.engine for voice in pool}
    if len(engines) == 2:
        engine = "flite" if rng.random() < flite else "espeak"
        pool = [voice for voice in pool if voice.engine == engine]
    accents = sorted({voice.accent for voice in pool})
    accent = accents[int(rng.integers(len(accents)))]
    pool = [voice for voice in pool if voice.accent == accent]
    classes = sorted({voice.pitch_class for voice in pool})
    pitch_class = classes[int(rng.integers(len(classes)))]
    pool = [voice for voice in pool if voice.pitch_class == pitch_class]
    return pool[int(rng.integers(len(pool)))]
