import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from calibration_sets.synthesis import build as building
from calibration_sets.synthesis.distort import active_frames
from calibration_sets.synthesis.recipes import recipes
from calibration_sets.synthesis.render import utterance
from calibration_sets.synthesis.speak import program_version
from calibration_sets.synthesis.store import decode, encode, read_manifest, snr_db

FOLDER = Path(__file__).parents[2] / "calibration_sets"
NAME = "podcast_en_test"

pytestmark = pytest.mark.skipif(
    shutil.which("espeak-ng") is None or shutil.which("flite") is None,
    reason="espeak-ng or flite is not installed",
)


def first(**strata):
    """The first clip of the test set with these conditions."""
    return next(
        recipe for recipe in recipes(NAME).values() if strata.items() <= recipe.strata.as_dict().items()
    )


@pytest.fixture
def two(monkeypatch):
    """A set of two clips: one over babble in a room by telephone, one of flite through a codec."""
    chosen = (
        first(noise="babble", reverb="0.3", channel="telephone"),
        first(engine="flite", channel="codec"),
    )
    stored = {entry["id"]: entry for entry in read_manifest(FOLDER / NAME)}
    for recipe in chosen:
        program = stored[recipe.id]["recipe"]["program"].split()
        if program_version(program[0]) != program[1]:
            pytest.skip(f"the sets were made with {' '.join(program)}")
    monkeypatch.setattr(building, "recipes", lambda _: {recipe.id: recipe for recipe in chosen})
    return [stored[recipe.id] for recipe in chosen]


def silent_console():
    return Console(file=StringIO())


def test_two_clips_built_anew_equal_the_stored_ones(two, tmp_path):
    entries = building.build(NAME, tmp_path, workers=1, console=silent_console())
    for fresh, stored in zip(entries, two, strict=True):
        assert {**fresh, "sha256": ""} == {**stored, "sha256": ""}
        old, new = (decode((folder / stored["path"]).read_bytes()) for folder in (FOLDER / NAME, tmp_path))
        assert snr_db(old, new) > 15.0
    assert read_manifest(tmp_path) == entries
    assert building.check(NAME, tmp_path, workers=1, console=silent_console()) == []


@pytest.mark.usefixtures("two")
def test_check_names_what_differs(tmp_path):
    entries = building.build(NAME, tmp_path, workers=1, console=silent_console())
    (first_clip, second_clip) = entries
    (tmp_path / first_clip["path"]).write_bytes(b"something else")
    building.write_manifest(tmp_path, [first_clip, {**second_clip, "text": "other words"}])
    lines = building.check(NAME, tmp_path, workers=1, console=silent_console())
    assert lines[0] == f"{first_clip['id']}: {first_clip['path']} does not have the manifest's sha256"
    assert lines[1].startswith(f"{second_clip['id']}: text is 'other words', made anew '")


def test_storing_costs_little():
    clip = first(noise="none", reverb="dry")
    sound = utterance(NAME, clip.id)
    assert snr_db(sound, decode(encode(sound))) > 15.0
    assert active_frames(sound).mean() > 0.5


def test_snr_by_hand():
    signal = np.array([1.0, 0.0, 0.0], np.float32)
    assert snr_db(signal, signal) == float("inf")
    assert snr_db(signal, signal * np.float32(0.9)) == pytest.approx(20.0, abs=1e-4)


def test_a_missing_program_ends_with_its_name(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(building, "build", _missing)
    assert building.main(["--set", NAME, "--output", str(tmp_path)]) == 1
    assert "espeak-ng is not installed" in capsys.readouterr().out


def _missing(*_, **__):
    raise building.SpeechError("espeak-ng is not installed")
