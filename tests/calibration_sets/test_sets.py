import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from calibration_sets.synthesis.design import NUM_CLIPS, STORED, design
from calibration_sets.synthesis.distort import active_rms
from calibration_sets.synthesis.readme import strata_table
from calibration_sets.synthesis.recipes import LOUDNESS_DBFS, recipes
from calibration_sets.synthesis.store import read_manifest

FOLDER = Path(__file__).parents[2] / "calibration_sets"
SETS = STORED
KEYS = [
    "id",
    "path",
    "text",
    "duration",
    "num_samples",
    "sampling_rate",
    "sha256",
    "license",
    "strata",
    "recipe",
]


@pytest.fixture(scope="module", params=SETS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def entries(name):
    return read_manifest(FOLDER / name)


@pytest.fixture(scope="module")
def audio(name, entries):
    return {entry["id"]: soundfile.read(FOLDER / name / entry["path"], dtype="float32") for entry in entries}


def test_every_entry_has_exactly_these_keys(entries, name):
    assert len(entries) == NUM_CLIPS[name]
    assert all(list(entry) == KEYS for entry in entries)
    assert {entry["license"] for entry in entries} == {"Apache-2.0"}


def test_strata_are_the_design_and_strings(entries, name):
    assert [entry["strata"] for entry in entries] == [strata.as_dict() for strata in design(name)]
    assert all(isinstance(value, str) for entry in entries for value in entry["strata"].values())


def test_recipes_are_those_of_the_code(entries, name):
    expected = {clip: recipe.as_dict() for clip, recipe in recipes(name).items()}
    stored = {entry["id"]: entry["recipe"] for entry in entries}
    assert all(recipe.pop("program").startswith(("espeak-ng ", "flite ")) for recipe in stored.values())
    assert stored == expected
    assert [entry["text"] for entry in entries] == [recipe.transcript for recipe in recipes(name).values()]


def test_files_match_the_manifest(entries, name, audio):
    for entry in entries:
        data = (FOLDER / name / entry["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]
        samples, rate = audio[entry["id"]]
        assert (samples.shape, rate) == ((entry["num_samples"],), entry["sampling_rate"])
        assert rate == 16_000
        assert entry["duration"] == entry["num_samples"] / rate
        assert 3.0 <= entry["duration"] <= 8.0


def test_folder_holds_no_other_files(entries, name):
    listed = {FOLDER / name / entry["path"] for entry in entries}
    assert set((FOLDER / name / "audio").iterdir()) == listed


def test_levels_are_met_without_clipping(entries, audio):
    for entry in entries:
        samples, _ = audio[entry["id"]]
        assert np.abs(samples).max() < 1.0
        asked = LOUDNESS_DBFS[entry["strata"]["loudness"]]
        assert 20 * np.log10(active_rms(samples)) == pytest.approx(asked, abs=0.8)


def test_telephone_clips_have_nothing_above_4_khz(entries, audio):
    for entry in entries:
        samples, rate = audio[entry["id"]]
        power = np.square(np.abs(np.fft.rfft(samples)))
        share = power[np.fft.rfftfreq(len(samples), 1 / rate) > 4100].sum() / power.sum()
        assert entry["strata"]["channel"] != "telephone" or share < 10**-4


def test_readme_counts_are_true(name):
    assert strata_table(FOLDER / name) in (FOLDER / name / "README.md").read_text()


def test_readmes_say_at_once_that_the_speech_is_synthetic(name):
    for path in (FOLDER / "README.md", FOLDER / name / "README.md"):
        assert "synthetic" in "".join(path.read_text().splitlines(keepends=True)[:4]).lower()


def test_both_sets_take_less_than_14_mb():
    files = [file for name in SETS for file in (FOLDER / name).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 14_000_000


def test_bit_rate_is_what_the_readme_says(entries, name):
    bits = sum(8 * (FOLDER / name / entry["path"]).stat().st_size for entry in entries)
    assert bits / sum(entry["duration"] for entry in entries) == pytest.approx(44_000, rel=0.05)


def test_nothing_is_shared_between_the_sets():
    calibration, test = (read_manifest(FOLDER / name) for name in SETS)

    def sentences(entries):
        return {part.strip() for entry in entries for part in entry["recipe"]["text"].lower().split(". ")}

    def of(entries, key):
        return {entry["recipe"][key] for entry in entries}

    assert not sentences(calibration) & sentences(test)
    assert not of(calibration, "seed") & of(test, "seed")
    timbres = [
        {voice.partition("+")[2] or voice for voice in of(entries, "voice")}
        for entries in (calibration, test)
    ]
    assert not timbres[0] & timbres[1]
    assert len({entry["text"] for entry in calibration + test}) == len(calibration) + len(test)


def test_the_licence_is_stated_of_the_programs_not_of_us():
    licence = (FOLDER / "README.md").read_text().split("## Licence\n")[1]
    assert not {"i", "we", "our", "us"} & set(licence.lower().split())
    assert "only where the output, given its content,\nis itself a covered work" in licence
