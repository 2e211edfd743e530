from __future__ import annotations

import math
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from trtforge.audio import AugmentRecipe, ClipSet, augment
from trtforge.audio.conditions import assign
from trtforge.errors import ClipSetError, ConfigError, MissingExtraError

pytest.importorskip("audiomentations")

MakeSet = Callable[..., Path]
RATE = 16_000


def rms(samples: Any) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def tone_at(samples: Any, frequency: float) -> float:
    """Return the amplitude of a sine of this frequency."""
    phase = 2j * np.pi * frequency * np.arange(len(samples)) / RATE
    return float(2 * abs(np.mean(samples * np.exp(phase))))


@pytest.fixture
def clips(make_set: MakeSet) -> ClipSet:
    return ClipSet.load(make_set(12))


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    """Folders of noise at 8 kHz and of impulse responses; the second echoes after 0.1 s."""
    generator = np.random.default_rng(1)
    for name in ("street", "room"):
        (tmp_path / name).mkdir()
    soundfile.write(tmp_path / "street" / "a.wav", 0.1 * generator.standard_normal(24_000), 8_000)
    soundfile.write(tmp_path / "street" / "b.flac", 0.3 * generator.uniform(-1, 1, 80_000), RATE)
    response = np.zeros(2000)
    response[[0, 1600]] = 0.8, 0.4
    soundfile.write(tmp_path / "room" / "echo.wav", response, RATE)
    return {name: str(tmp_path / name) for name in ("street", "room")}


@pytest.mark.parametrize("snr_db", [0.0, 10.0])
@pytest.mark.parametrize("noise", ["street", "babble"])
def test_noise_has_the_ratio_that_is_stated(
    clips: ClipSet, folders: dict[str, str], noise: str, snr_db: float
) -> None:
    recipe = AugmentRecipe(noise=(noise,), snr_db=(snr_db,), folders=folders)
    noisy = augment(clips, recipe, seed=5)
    assert noisy.ids == tuple(f"{clip_id}-a5" for clip_id in clips.ids)
    for clip in clips:
        before, found = clips.audio(clip), noisy[f"{clip.id}-a5"]
        after = noisy.audio(found)
        scale = next((step["scale"] for step in found.recipe["steps"] if "scale" in step), 1.0)
        added = after / scale - before
        assert 20 * np.log10(rms(before) / rms(added)) == pytest.approx(snr_db, abs=0.05)
        assert found.strata == {"noise": noise, "snr": f"{snr_db:g}"}
        assert np.abs(after).max() < 1
        step = found.recipe["steps"][0]
        if noise == "street":
            assert step["file"] in ("street/a.wav", "street/b.flac")
        else:
            assert len(set(step["voices"])) == 6
            assert clip.id not in step["voices"]


def test_each_effect_does_what_it_says(clips: ClipSet, folders: dict[str, str]) -> None:
    def only(**settings: Any) -> tuple[Any, Any]:
        made = augment(clips.subset(["c02"]), AugmentRecipe(folders=folders, **settings))[0:1]
        return made.audio(made[0]), made[0]

    plain = clips.audio("c02")  # 300 Hz, 0.7 s, amplitude 0.3
    fast, clip = only(speed=(1.25,))
    assert (len(fast), clip.strata["speed"]) == (8960, "1.25")
    assert tone_at(fast, 375) == pytest.approx(0.3, rel=0.02)
    quiet, clip = only(gain_db=(-20.0,))
    assert (rms(quiet), clip.strata["gain"]) == (pytest.approx(rms(plain) / 10, rel=1e-3), "-20")
    cut, clip = only(band_hz=((1000.0, 3000.0),))
    assert clip.strata["band"] == "1000-3000"
    assert 20 * np.log10(tone_at(cut, 300) / 0.3) < -35
    wet, clip = only(reverb=("room",))
    assert clip.strata["reverb"] == "room"
    assert clip.recipe["steps"] == [{"reverb": "room", "file": "room/echo.wav"}]
    assert rms(wet) == pytest.approx(rms(plain), rel=1e-3)
    # 1.5 times the dry sound where the echo has come, for 0.1 s is 30 periods; the mean level stays.
    assert rms(wet[2000:]) / rms(wet[:1600]) == pytest.approx(1.5, rel=0.02)
    for codec in ("opus", "mp3", "vorbis"):
        coded, clip = only(codec=(codec,))
        assert (len(coded), clip.strata["codec"]) == (len(plain), codec)
        assert 10 < 20 * np.log10(rms(plain) / rms(coded - plain)) < 80
    loud, clip = only(gain_db=(20.0,))
    assert np.abs(loud).max() == pytest.approx(0.99, abs=1e-3)
    assert clip.recipe["steps"][1] == {"scale": pytest.approx(0.33, rel=0.01)}


def test_the_same_seed_gives_the_same_set_and_leaves_the_world_as_it_was(
    clips: ClipSet, folders: dict[str, str], tmp_path: Path
) -> None:
    recipe = AugmentRecipe(
        speed=(0.9, 1.0, 1.1),
        reverb=("dry", "room"),
        noise=("none", "street", "babble"),
        snr_db=(5, 20),
        codec=("none", "opus"),
        folders=folders,
    )
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002 - the generator that the library draws from
    first = augment(clips, recipe, seed=1)
    assert random.random() == random.Random(7).random()  # noqa: S311
    assert np.random.random() == np.random.RandomState(7).random()  # noqa: NPY002
    again = augment(clips.subset(reversed(clips.ids)), recipe, seed=1)
    assert again.digest == first.digest
    assert augment(clips, recipe, seed=2).digest != first.digest
    done = Counter(step["noise"] for clip in first for step in clip.recipe["steps"] if "noise" in step)
    assert done == {"street": 4, "babble": 4}
    saved = first.save(tmp_path / "saved")
    assert saved.digest == first.digest
    assert saved[0].recipe == first[0].recipe
    assert saved[0].recipe["clip"] == "c00"
    assert saved[0].recipe["sha256"] == clips["c00"].sha256


def test_values_occur_equally_often_and_ratios_within_each_noise() -> None:
    ids = [f"c{i}" for i in range(60)]
    recipe = AugmentRecipe(speed=(0.9, 1.0, 1.1), noise=("none", "babble"), snr_db=(0, 10, 20))
    found = assign(ids, recipe, seed=3)
    assert Counter(c.speed for c in found.values()) == {0.9: 20, 1.0: 20, 1.1: 20}
    assert Counter((c.noise, c.snr_db) for c in found.values()) == {
        ("none", None): 30, ("babble", 0): 10, ("babble", 10): 10, ("babble", 20): 10,
    }  # fmt: skip
    assert assign(reversed(ids), recipe, seed=3) == found
    assert assign(ids, recipe, seed=4) != found


def test_what_is_not_done_leaves_the_stratum_that_was_there(clips: ClipSet) -> None:
    recipe = AugmentRecipe(noise=("none", "babble"), snr_db=(5,))
    for clip in augment(clips, recipe):
        before = clips[clip.recipe["clip"]].strata
        if clip.recipe["steps"]:
            assert clip.strata == {"noise": "babble", "snr": "5"}
        else:
            assert clip.strata == before


def test_a_silent_clip_bears_no_noise(clips: ClipSet, make_set: MakeSet, folders: dict[str, str]) -> None:
    folder = Path(folders["street"]).parent / "tones"
    soundfile.write(folder / "c03.wav", np.zeros(12_800), RATE)
    silent = ClipSet.load(folder, verify=False)
    recipe = AugmentRecipe(noise=("street",), snr_db=(5,), folders=folders)
    made = augment(silent, recipe)
    assert len(made) == 11
    assert made.rejected["c03"].startswith("clip 'c03': no noise could be added: the clip or street/")
    with pytest.raises(ClipSetError, match="1 of 12 clips of 'tones' are unusable, at most 0% may be"):
        augment(silent, recipe, max_bad_share=0)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"noise": ("babble",)}, "must be given together"),
        ({"snr_db": (5,)}, "must be given together"),
        ({"noise": ("street",), "snr_db": (5,)}, "no folder for street\nhint: name it in folders"),
        ({"reverb": ("hall",), "folders": {"hall": "/nowhere"}}, "no folder for hall"),
        ({"speed": (3.0,)}, "speed must lie in 0.5 to 2"),
        ({"gain_db": (0.0, 1e6)}, "gain_db must lie in -100 to 100, got"),
        ({"noise": ("babble",), "snr_db": (math.nan,)}, "snr_db must lie in -100 to 100, got"),
        ({"speed": ()}, "speed lists no value"),
        ({"band_hz": ((300, 9000),)}, "must rise within 0 to 8000 Hz"),
        ({"codec": ("aac",)}, "must be none, opus, mp3 or vorbis"),
        ({"babble_voices": 1}, "at least 2 voices"),
    ],
)
def test_a_recipe_is_checked_when_it_is_made(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        AugmentRecipe(**settings)


def test_without_audiomentations_it_says_what_to_install(
    clips: ClipSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "audiomentations", None)
    with pytest.raises(MissingExtraError, match=r'pip install "trtforge\[augment\]"'):
        augment(clips, AugmentRecipe(speed=(1.1,)))


def test_what_only_the_clips_show_is_said_too(clips: ClipSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="6 voices takes more clips than the 4 of 'tones'"):
        augment(clips[:4], AugmentRecipe(noise=("babble",), snr_db=(5,)))
    (tmp_path / "empty").mkdir()
    recipe = AugmentRecipe(reverb=("empty",), folders={"empty": tmp_path / "empty"})
    with pytest.raises(ConfigError, match=r"the folder of 'empty', .* holds no audio"):
        augment(clips, recipe)
