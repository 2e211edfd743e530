from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from trtforge.audio import ClipSet
from trtforge.audio.segments import cut_audio
from trtforge.errors import ClipError, ClipSetError, ConfigError

MakeSet = Callable[..., Path]


def write(path: Path, *lines: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_round_trip(make_set: MakeSet, tmp_path: Path) -> None:
    clips = ClipSet.load(make_set(12, change={"c02": {"text": None}}))
    manifest = clips.write_nemo(tmp_path / "nemo.json")
    first = json.loads(manifest.read_text().splitlines()[0])
    assert first == {
        "audio_filepath": "tones/c00.wav",
        "duration": 0.5,
        "text": "tone 0",
        "id": "c00",
        "noise": "none",
        "snr": "0",
    }
    again = ClipSet.from_nemo(manifest, strata=("noise", "snr"), license="CC0-1.0")
    assert again.digest == clips.digest
    assert again.texts() == clips.texts()
    assert again.strata() == clips.strata()
    assert again.name == "nemo"
    assert again["c02"].recipe == {"file": "c02.wav"}
    assert again.unverified == set(clips.ids)
    elsewhere = clips.write_nemo(tmp_path / "deep" / "nemo.json")
    assert f'"{tmp_path}/tones/c00.wav"' in elsewhere.read_text().splitlines()[0]


def test_offsets_cut_exactly(make_set: MakeSet, tmp_path: Path) -> None:
    folder = make_set(3)
    whole, _ = soundfile.read(folder / "c02.wav", dtype="float32")
    manifest = write(
        folder / "nemo.json",
        {"audio_filepath": "c02.wav", "offset": 0.2, "duration": 0.3, "text": "a"},
        {"audio_filepath": "c02.wav", "duration": 0.25, "text": ""},
        {"audio_filepath": "c02.wav", "offset": 0.5},
        {"audio_filepath": str(folder / "c02.wav"), "duration": 0.7, "id": 7},
    )
    clips = ClipSet.from_nemo(manifest)
    assert clips.ids == ("c02-00001", "c02-00002", "c02-00003", "7")
    np.testing.assert_array_equal(clips.audio("c02-00001"), whole[3200:8000])
    np.testing.assert_array_equal(clips.audio("c02-00002"), whole[:4000])
    np.testing.assert_array_equal(clips.audio("c02-00003"), whole[8000:])
    assert clips.texts() == {"c02-00001": "a", "c02-00002": ""}
    assert clips["c02-00001"].recipe == {"file": "c02.wav", "offset": 0.2, "duration": 0.3}
    saved = clips.save(tmp_path / "saved")
    assert saved.digest == clips.digest
    assert saved["c02-00001"].duration == 0.3
    with pytest.raises(ClipSetError, match=r"'c02-00001' has no file.*\nhint: save the set first"):
        clips.write_nemo(tmp_path / "x.json")


def test_bad_lines_are_set_aside_one_by_one(make_set: MakeSet) -> None:
    folder = make_set(12)
    good = [{"audio_filepath": f"c{i:02d}.wav"} for i in range(12)]
    manifest = write(
        folder / "nemo.json",
        *good,
        {"audio_filepath": "gone.wav"},
        {"audio_filepath": "c01.wav", "offset": 0.4, "duration": 1.0},
        {"audio_filepath": "c01.wav", "offset": -1, "id": "minus"},
        {"audio_filepath": "c01.wav", "text": 5, "id": "five"},
    )
    clips = ClipSet.from_nemo(manifest, max_bad_share=0.3)
    assert len(clips) == 12
    assert clips.rejected == {
        "gone-00013": "clip 'gone-00013': cannot read the file: [Errno 2] No such file or directory: "
        f"'{folder}/gone.wav'",
        "c01-00014": "clip 'c01-00014': asked for 1.00 s from 0.40 s on, the file holds 0.60 s",
        "minus": "clip 'minus': its offset is -1, not a number of seconds from 0 to 1000000",
        "five": "clip 'five': its text is 5, not text",
    }
    with pytest.raises(ClipSetError, match="4 of 16 clips of 'nemo' are unusable, at most 10% may be"):
        ClipSet.from_nemo(manifest)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([{"text": "a"}], "line 1: the key 'audio_filepath' is missing"),
        (
            [{"audio_filepath": "c\0.wav"}],
            "line 1: the key 'audio_filepath' is missing or no file can be call",
        ),
        ([{"audio_filepath": "\ud800.wav"}], "line 1: the key 'audio_filepath' is missing or no file can be"),
        ([{"audio_filepath": "c00.wav", "id": ["a"]}], "line 1: its id is .*, not text or a number"),
        ([{"audio_filepath": "c00.wav", "id": "\ud800"}], "line 1: its id is .*, not text or a number"),
        ([{"audio_filepath": "c00.wav", "id": "a"}] * 2, "line 2: id 'a' was used before"),
        ([], "names no clips"),
    ],
)
def test_a_malformed_manifest_is_refused(make_set: MakeSet, lines: list[Any], says: str) -> None:
    with pytest.raises(ClipSetError, match=says):
        ClipSet.from_nemo(write(make_set(2) / "nemo.json", *lines))


@pytest.mark.parametrize(
    ("hostile", "says"),
    [
        ({"duration": 1e308}, r"its duration is 1e\+308, not a number of seconds from 0 to 1000000"),
        ({"duration": 10**400}, "its duration is 10+, not a number of seconds"),
        ({"offset": 1e300, "duration": 0.1}, r"its offset is 1e\+300, not a number of seconds"),
        ({"text": "\ud800"}, r"its text is '\\ud800', not text"),
        ({"accent": ["scots"]}, r"its accent is \['scots'\], not text or a number"),
    ],
)
def test_values_that_cannot_be_are_rejected_with_their_line(
    make_set: MakeSet, tmp_path: Path, hostile: dict[str, Any], says: str
) -> None:
    good = {"audio_filepath": "c00.wav", "accent": 7}
    bad = {"audio_filepath": "c01.wav", "id": "bad", "accent": "scots", **hostile}
    clips = ClipSet.from_nemo(write(make_set(2) / "nemo.json", good, bad), strata=["accent"], max_bad_share=1)
    assert re.search(says, clips.rejected["bad"])
    assert clips.strata() == {"c00-00001": {"accent": "7"}}
    assert clips.save(tmp_path / "saved").ids == clips.ids


def test_an_id_may_be_any_number(make_set: MakeSet) -> None:
    lines = [{"audio_filepath": "c00.wav", "id": 0}, {"audio_filepath": "c01.wav", "id": ""}]
    assert ClipSet.from_nemo(write(make_set(2) / "nemo.json", *lines)).ids == ("0", "c01-00002")


def test_a_key_of_strata_that_no_line_has_is_refused(make_set: MakeSet) -> None:
    lines = [{"audio_filepath": "c00.wav", "accnt": "scots"}, {"audio_filepath": "c01.wav", "text": "a"}]
    manifest = write(make_set(2) / "nemo.json", *lines)
    with pytest.raises(ConfigError) as caught:
        ClipSet.from_nemo(manifest, strata=("accent",))
    assert caught.value.message == (
        f"no line of {manifest} has the key 'accent'; its keys are audio_filepath, accnt, text"
    )


def test_lines_without_a_stratum_are_counted_in_a_warning(make_set: MakeSet) -> None:
    lines = [{"audio_filepath": f"c0{i}.wav", **({"accent": "scots"} if i == 1 else {})} for i in range(3)]
    manifest = write(make_set(3) / "nemo.json", *lines, {"audio_filepath": "c00.wav", "accent": ""})
    with pytest.warns(RuntimeWarning, match="3 of 4 lines of .* have nothing under 'accent'") as caught:
        clips = ClipSet.from_nemo(manifest, strata={"region": "accent"})
    assert caught[0].filename == __file__
    assert [clip.strata for clip in clips] == [{}, {"region": "scots"}, {}, {}]


@pytest.mark.parametrize(
    ("subtype", "kept"),
    [("PCM_16", "PCM_16"), ("PCM_24", "PCM_24"), ("PCM_32", "PCM_32"), ("FLOAT", "PCM_24")],
)
def test_a_cut_keeps_every_bit_and_is_the_same_each_time(tmp_path: Path, subtype: str, kept: str) -> None:
    path = tmp_path / "a.wav"
    samples = np.random.default_rng(0).uniform(-1, 1, (8000, 2))
    soundfile.write(path, samples, 16_000, subtype=subtype)
    cut = cut_audio(path, 0.1, 0.2, clip_id="a")
    (tmp_path / "cut.wav").write_bytes(cut)
    assert soundfile.info(tmp_path / "cut.wav").subtype == kept
    found, rate = soundfile.read(tmp_path / "cut.wav")
    whole, _ = soundfile.read(path)
    assert (rate, found.shape) == (16_000, (3200, 2))
    assert np.abs(found - whole[1600:4800]).max() <= (2**-23 if subtype == "FLOAT" else 0)
    assert cut_audio(path, 0.1, 0.2, clip_id="a") == cut


def test_a_cut_never_clips(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(8000, 1.5), 16_000, subtype="FLOAT")
    with pytest.raises(ClipError, match="beyond full scale cannot be cut out"):
        cut_audio(tmp_path / "a.wav", 0.1, 0.2, clip_id="a")
