from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from trtforge.audio import Clip, ClipSet
from trtforge.errors import ClipError, ClipSetError, ConfigError

MakeSet = Callable[..., Path]


def test_load(make_set: MakeSet) -> None:
    folder = make_set(12)
    clips = ClipSet.load(folder)
    assert len(clips) == 12
    assert clips[1] == clips["c01"] == list(clips)[1]
    assert clips[1] == Clip(
        "c01",
        "c01.wav",
        "tone 1",
        0.6,
        9600,
        16_000,
        hashlib.sha256((folder / "c01.wav").read_bytes()).hexdigest(),
        "CC0-1.0",
        {"noise": "babble", "snr": "1"},
    )
    np.testing.assert_allclose(clips.durations(), 0.5 + 0.1 * np.arange(12))
    assert clips.durations().dtype == np.float64
    assert clips.texts()["c11"] == "tone 11"
    assert clips.strata()["c05"] == {"noise": "babble", "snr": "2"}
    assert clips.rejected == {}
    assert clips.unverified == frozenset()
    assert "c03" in clips
    assert clips[3] in clips
    assert "c12" not in clips
    assert repr(clips) == f"ClipSet('tones', 12 clips, 12.6 s, digest={clips.digest[:12]})"
    assert ClipSet.load(folder / "manifest.jsonl").digest == clips.digest


def test_audio_is_decoded_at_the_rate_asked_for(make_set: MakeSet) -> None:
    clips = ClipSet.load(make_set())
    audio = clips.audio("c00")
    assert (audio.dtype, audio.shape) == (np.float32, (8000,))
    assert clips.audio(clips[0], sampling_rate=8000).shape == (4000,)
    assert audio.max() == pytest.approx(0.3, abs=1e-3)


def test_digest_is_of_ids_and_audio_alone(make_set: MakeSet) -> None:
    folder = make_set()
    clips = ClipSet.load(folder)
    manifest = folder / "manifest.jsonl"
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join(reversed(lines)).replace("tone 3", "another text"))
    assert ClipSet.load(folder).digest == clips.digest
    assert clips[:11].digest != clips.digest
    assert ClipSet.load(folder, verify=False).digest == clips.digest
    manifest.write_text("\n".join(lines).replace('"id": "c03"', '"id": "d03"'))
    assert ClipSet.load(folder).digest != clips.digest


def test_subset_keeps_the_order_given(make_set: MakeSet) -> None:
    clips = ClipSet.load(make_set())
    chosen = clips.subset(["c07", "c02"])
    assert chosen.ids == ("c07", "c02")
    assert chosen.audio("c02").shape == (8000 + 2 * 1600,)
    assert clips[2:4].ids == ("c02", "c03")
    with pytest.raises(ClipSetError, match="no clip 'c99' in 'tones'; the set has 12 others"):
        clips.subset(["c99"])
    with pytest.raises(ClipSetError, match="two clips have the same id"):
        clips.subset(["c01", "c01"])
    with pytest.raises(ClipSetError, match="clip set 'tones' has no clips"):
        clips.subset([])


def test_where_selects_by_strata(make_set: MakeSet) -> None:
    clips = ClipSet.load(make_set())
    assert clips.where(noise="babble", snr="0").ids == ("c03", "c09")
    assert clips.where(snr=["0", "1"], noise="none").ids == ("c00", "c04", "c06", "c10")
    with pytest.raises(ClipSetError, match=r"no clip of 'tones' has noise in \['car'\]") as caught:
        clips.where(noise="car")
    assert caught.value.hint == "the set has {'noise': ['babble', 'none']}"


def test_a_checksum_that_does_not_match(make_set: MakeSet) -> None:
    folder = make_set(12, change={"c04": {"sha256": "0123456789ab" + "0" * 52}})
    found = hashlib.sha256((folder / "c04.wav").read_bytes()).hexdigest()
    clips = ClipSet.load(folder)
    assert len(clips) == 11
    assert clips.rejected == {
        "c04": f"clip 'c04': the SHA-256 of c04.wav is {found[:12]}..., the manifest says 0123456789ab...: "
        "the file was altered, or the manifest is of another version"
    }
    with pytest.raises(
        ClipSetError, match="no clip 'c04' in 'tones'; it was rejected: clip 'c04': the SHA-256"
    ):
        clips.audio("c04")
    assert len(ClipSet.load(folder, verify=False)) == 12


def test_what_a_line_leaves_out_is_read_from_the_file(make_set: MakeSet) -> None:
    bare: dict[str, Any] = dict.fromkeys(
        ("text", "duration", "num_samples", "sampling_rate", "sha256", "license", "strata")
    )
    folder = make_set(3, change={"c01": bare})
    for verify in (True, False):
        clips = ClipSet.load(folder, verify=verify)
        digest = hashlib.sha256((folder / "c01.wav").read_bytes()).hexdigest()
        assert clips["c01"] == Clip("c01", "c01.wav", None, 0.6, 9600, 16_000, digest)
        assert clips.texts().keys() == {"c00", "c02"}
        assert clips.unverified == (frozenset({"c01"}) if verify else frozenset(clips.ids))
    assert "3 unverified" in repr(clips)


def spoil_missing(path: Path) -> None:
    path.unlink()


def spoil_empty(path: Path) -> None:
    path.write_bytes(b"")


def spoil_truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def spoil_text(path: Path) -> None:
    path.write_text("404: not found")


def spoil_replaced(path: Path) -> None:
    soundfile.write(path, np.zeros(64_000), 16_000)


def spoil_resampled(path: Path) -> None:
    soundfile.write(path, np.zeros(4000), 8_000)


def spoil_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_missing, "no audio file c02.wav"),
        (spoil_empty, "the file is empty (0 bytes)"),
        (spoil_truncated, "the header promises 11200 frames in 22400 bytes, the file holds 21400 bytes"),
        (spoil_text, "not WAV, FLAC, Ogg, MP3 or AIFF: the file begins with b'404:'"),
        (spoil_replaced, "the manifest says 0.70 s, the file holds 4.00 s: it is truncated, or another file"),
        (spoil_resampled, "the manifest says 16000 Hz, the file has 8000"),
        (spoil_folder, "no audio file c02.wav"),
    ],
)
def test_a_bad_clip_is_rejected_and_the_others_go_on(
    make_set: MakeSet, spoil: Callable[[Path], None], reason: str
) -> None:
    folder = make_set(10, change={"c02": {"sha256": None}})
    spoil(folder / "c02.wav")
    clips = ClipSet.load(folder)
    assert len(clips) == 9
    assert clips.rejected["c02"].startswith(f"clip 'c02': {reason}")
    assert clips[:3].rejected == clips.rejected
    assert "1 rejected" in repr(clips)


def test_a_path_that_the_file_system_refuses_is_set_aside(make_set: MakeSet) -> None:
    folder = make_set(10, change={"c02": {"path": 300 * "x"}})
    for verify in (True, False):
        clips = ClipSet.load(folder, verify=verify)
        assert len(clips) == 9
        assert clips.rejected["c02"].startswith(
            "clip 'c02': cannot read the file: [Errno 36] File name too long"
        )


@pytest.mark.parametrize(
    ("change", "stated"), [({"duration": 1_000_000}, 1e6), ({"num_samples": 10**12}, 10**12 / 16_000)]
)
def test_the_largest_lengths_a_line_may_state(
    make_set: MakeSet, change: dict[str, int], stated: float
) -> None:
    clips = ClipSet.load(make_set(10, change={"c02": change}))
    assert clips.rejected["c02"].startswith(
        f"clip 'c02': the manifest says {stated:.2f} s, the file holds 0.70 s"
    )


def test_too_many_bad_clips(make_set: MakeSet) -> None:
    folder = make_set(12)
    for index in range(5):
        (folder / f"c{index:02d}.wav").write_bytes(b"")
    message = (
        "5 of 12 clips of 'tones' are unusable, at most 10% may be: clip 'c00': the file is empty (0 bytes); "
        "clip 'c01': the file is empty (0 bytes); clip 'c02': the file is empty (0 bytes); and 2 more"
    )
    with pytest.raises(ClipSetError, match=re.escape(message)) as caught:
        ClipSet.load(folder)
    assert caught.value.hint == "mend or remove them, or raise max_bad_share"
    assert len(ClipSet.load(folder, max_bad_share=0.5)) == 7


def test_no_clip_left(make_set: MakeSet) -> None:
    folder = make_set(1)
    (folder / "c00.wav").unlink()
    with pytest.raises(ClipSetError, match="1 of 1 clips of 'tones' are unusable"):
        ClipSet.load(folder, max_bad_share=1.0)
    with pytest.raises(ConfigError, match=r"max_bad_share must lie in 0 to 1, got 1\.5"):
        ClipSet.load(folder, max_bad_share=1.5)


def test_a_file_replaced_after_loading_is_noticed(make_set: MakeSet) -> None:
    folder = make_set(2)
    clips = ClipSet.load(folder)
    soundfile.write(folder / "c01.wav", np.zeros(64_000), 16_000)
    with pytest.raises(ClipError, match=r"the manifest says 0\.60 s, the file holds 4\.00 s"):
        clips.audio("c01")


def test_sets_travel_to_other_processes(make_set: MakeSet) -> None:
    clips = ClipSet.load(make_set(2))
    copy = pickle.loads(pickle.dumps(clips))  # noqa: S301
    assert copy.digest == clips.digest
    np.testing.assert_array_equal(copy.audio("c01"), clips.audio("c01"))


def test_audio_may_come_from_bytes(make_set: MakeSet) -> None:
    folder = make_set(2)
    loaded = ClipSet.load(folder)
    data = {clip.id: (folder / clip.path).read_bytes() for clip in loaded}
    clips = ClipSet(loaded, locate=lambda clip: data[clip.id], name="in memory")
    np.testing.assert_array_equal(clips.audio("c01"), loaded.audio("c01"))
    assert clips.digest == loaded.digest
