"""From the conditions of a clip to what is needed to make it: text, voice, pace, pitch, seed, neighbours."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import cache
from random import Random

from calibration_sets.synthesis.design import NUM_CLIPS, STORED, SetName, Strata, design
from calibration_sets.synthesis.distort import CodecKind
from calibration_sets.synthesis.texts import normalise, sentences, training_sentences
from calibration_sets.synthesis.voices import Split, Voice, voices

SPLITS: dict[SetName, Split] = {
    "podcast_en": "calibration",
    "podcast_en_test": "test",
    "podcast_en_large": "calibration",
}
SEEDS: dict[SetName, int] = {
    "podcast_en": 1_000_000,
    "podcast_en_test": 2_000_000,
    "podcast_en_large": 3_000_000,
}
# Letters of a sentence that every voice says in 3 to 8 s at the pace that its length brings it.
_LENGTHS = range(48, 100)
_MAX_COMMAS = 3

# espeak-ng's words a minute are words of average length; spoken sentences come out a quarter faster.
WORDS_PER_MINUTE = {"slow": 110, "normal": 145, "fast": 185}
LOUDNESS_DBFS = {"quiet": -36.0, "normal": -24.0, "loud": -14.0}
# The least bit rate of each that libsndfile offers for 16 kHz mono: about 13, 27 and 30 kbit/s.
CODECS: dict[CodecKind, float] = {"opus": 0.98, "mp3": 0.98, "vorbis": 1.0}

# Pitch settings that bring the voices of a class to about 85, 130 and 205 Hz; rms, whose formants rise with
# the pitch, only to 115 Hz.
_ESPEAK_PITCH = {"low": 40, "mid": 68, "high": 45}
_FLITE_PITCH = {
    "flite-rms": {"low": 50, "mid": 62},
    "flite-slt": {"mid": 30, "high": 58},
}
_NUM_BABBLE = 8


@dataclass(frozen=True)
class Recipe:
    """All that determines a clip, given the versions of the speech programs.

    Parameters
    ----------
    id : the clip's name, such as ``podcast_en-007``.
    strata : its conditions.
    text : what is said, with capitals and punctuation.
    voice : who says it, by name.
    words_per_minute, pitch : as ``speak`` takes them.
    loudness_dbfs : level of the finished clip.
    seed : of room and noise.
    codec : which coder, empty for the other channels.
    babble : clips of the same set whose speech may be heard behind; empty for other noises.
    """

    id: str
    strata: Strata
    text: str
    voice: str
    words_per_minute: int
    pitch: int
    loudness_dbfs: float
    seed: int
    codec: str
    babble: tuple[str, ...]

    @property
    def transcript(self) -> str:
        """The text as the manifest holds it."""
        return normalise(self.text)

    def as_dict(self) -> dict[str, object]:
        """Return what the manifest lists beside id and strata."""
        listed = asdict(self)
        return {
            field.name: listed[field.name] for field in fields(self) if field.name not in ("id", "strata")
        } | {"babble": list(self.babble)}


@cache
def recipes(name: SetName) -> dict[str, Recipe]:
    """Write the recipe of every clip of a set.

    Parameters
    ----------
    name : one of `NUM_CLIPS`.

    Returns
    -------
    Recipes by id, in the order of the manifest.

    Raises
    ------
    ValueError : the name is unknown, or there are fewer sentences than clips.
    """
    strata = design(name)
    random = Random(f"recipes of {name}")  # noqa: S311 - reproducible, not secret
    texts = _assign_texts(name, random)
    names = [f"{name}-{number:03d}" for number in range(len(strata))]
    codecs = sorted(CODECS)
    found = {}
    for number, (clip, conditions) in enumerate(zip(names, strata, strict=True)):
        others = [other for other in names if other != clip]
        behind = _sample(others, _NUM_BABBLE, random) if conditions.noise == "babble" else []
        jitter = int(random.random() * 7) - 3
        found[clip] = Recipe(
            id=clip,
            strata=conditions,
            text=texts[number],
            voice=_voice(name, conditions, random).name,
            words_per_minute=WORDS_PER_MINUTE[conditions.rate] + int(random.random() * 11) - 5,
            pitch=_pitch(conditions) + jitter,
            loudness_dbfs=LOUDNESS_DBFS[conditions.loudness],
            seed=SEEDS[name] + number,
            codec=codecs[int(random.random() * 3)] if conditions.channel == "codec" else "",
            babble=tuple(behind),
        )
    return found


def _sample(items: list[str], count: int, random: Random) -> list[str]:
    keys = [random.random() for _ in items]
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__)[:count]]


def _voice(name: SetName, conditions: Strata, random: Random) -> Voice:
    fitting = [voice for voice in voices(SPLITS[name]) if voice.accent == conditions.accent]
    if conditions.engine == "espeak":
        fitting = [voice for voice in fitting if voice.pitch_class == conditions.pitch]
    return fitting[int(random.random() * len(fitting))]


def _pitch(conditions: Strata) -> int:
    classes = _FLITE_PITCH.get(conditions.accent, _ESPEAK_PITCH)
    return classes[conditions.pitch]


def _assign_texts(name: SetName, random: Random) -> list[str]:
    """Give slow clips the shorter sentences and fast clips the longer ones, so that all take 3 to 8 s.

    Sentences left over are spoken in pairs, the shortest ones, in as many of the clips that are not slow.
    """
    pool = sorted(_sentences(name), key=lambda text: (len(text), text))
    count = NUM_CLIPS[name]
    if len(pool) < count:
        raise ValueError(f"{name} needs {count} sentences, there are {len(pool)}")
    strata = design(name)
    quick = [i for i in range(count) if strata[i].rate != "slow"]
    spare = min(len(pool) - count, len(quick))
    paired = [int(i) for i in _sample([str(i) for i in quick], spare, random)]
    halves = _sample(pool[: 2 * spare], 2 * spare, random)
    texts = {i: f"{halves[2 * k]} {halves[2 * k + 1]}" for k, i in enumerate(paired)}
    single = [i for i in range(count) if i not in texts]
    rest = pool[2 * spare :][: len(single)]
    start = 0
    for rate in ("slow", "normal", "fast"):
        clips = [i for i in single if strata[i].rate == rate]
        chosen = _sample(rest[start : start + len(clips)], len(clips), random)
        texts.update(zip(clips, chosen, strict=True))
        start += len(clips)
    return [texts[i] for i in range(count)]


def _sentences(name: SetName) -> tuple[str, ...]:
    """Return the sentences of a fixed split; the large set has more clips than those have sentences."""
    if name in STORED:
        return sentences(SPLITS[name])
    # Speakers pause at commas, of which spelled-out numbers have many.
    fitting = (
        text
        for text in training_sentences(SEEDS[name])
        if len(text) in _LENGTHS and text.count(",") <= _MAX_COMMAS
    )
    found: dict[str, str] = {}
    while len(found) < NUM_CLIPS[name]:
        text = next(fitting)
        found.setdefault(normalise(text), text)
    return tuple(found.values())
