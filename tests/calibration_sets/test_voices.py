from collections import Counter

import numpy as np
import pytest

from calibration_sets.synthesis.voices import ACCENTS, ENGLISH_ACCENTS, OTHER_ACCENTS, draw, voices

SPLITS = ("training", "calibration", "test")


def variants(split):
    return {voice.variant for voice in voices(split) if voice.engine == "espeak"}


def test_numbers_of_accents():
    assert len(ENGLISH_ACCENTS) == 8
    assert len(OTHER_ACCENTS) >= 6
    for split in SPLITS:
        assert {voice.accent for voice in voices(split) if voice.engine == "espeak"} == set(ACCENTS)


def test_no_variant_of_the_test_set_is_heard_elsewhere():
    assert variants("test") & (variants("training") | variants("calibration")) == set()


def test_flite_voices():
    flite = {split: {v.variant for v in voices(split) if v.engine == "flite"} for split in SPLITS}
    assert flite == {
        "training": {"kal", "kal16", "awb", "rms", "slt"},
        "calibration": set(),
        "test": {"rms", "slt"},
    }


@pytest.mark.parametrize("split", SPLITS)
def test_every_accent_has_every_pitch_class(split):
    espeak = [voice for voice in voices(split) if voice.engine == "espeak"]
    assert len({(voice.accent, voice.pitch_class) for voice in espeak}) == len(ACCENTS) * 3
    assert len({voice.name for voice in voices(split)}) == len(voices(split))


@pytest.mark.parametrize("split", SPLITS)
def test_no_robots(split):
    unfit = {"whisper", "whisperf", "croak", "Demonic", "UniRobot", "anikaRobot", "announcer", "caleb"}
    assert not variants(split) & (unfit | {f"robosoft{n}" for n in ("", *range(2, 9))})


def test_draw_is_even_over_accents_and_pitch_classes():
    rng = np.random.default_rng(0)
    drawn = [draw(voices("training"), rng, flite=0.2) for _ in range(4000)]
    assert sum(voice.engine == "flite" for voice in drawn) == pytest.approx(800, abs=100)
    espeak = [voice for voice in drawn if voice.engine == "espeak"]
    accents = Counter(voice.accent for voice in espeak)
    assert min(accents.values()) > 140
    assert max(accents.values()) < 260
    classes = Counter(voice.pitch_class for voice in espeak)
    assert min(classes.values()) > 950


def test_unknown_split():
    with pytest.raises(ValueError, match="split must be one of training, calibration, test, not 'dev'"):
        voices("dev")
