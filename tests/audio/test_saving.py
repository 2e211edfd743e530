from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trtforge.audio import ClipSet
from trtforge.audio.clip import describe
from trtforge.audio.spool import Spool
from trtforge.errors import ClipError, ClipSetError

MakeSet = Callable[..., Path]


def test_what_is_saved_is_what_was_there(make_set: MakeSet, tmp_path: Path) -> None:
    clips = ClipSet.load(make_set(12, change={"c03": {"text": None, "recipe": {"voice": "m1"}}}))
    saved = clips.subset(["c03", "c01"]).save(tmp_path / "new" / "set")
    assert saved.ids == ("c03", "c01")
    assert saved.digest == clips.subset(["c01", "c03"]).digest
    assert saved.unverified == frozenset()
    assert saved["c03"].path == "audio/00000-c03.wav"
    assert (saved["c03"].text, saved["c03"].recipe) == (None, {"voice": "m1"})
    assert saved["c01"].strata == clips["c01"].strata
    np.testing.assert_array_equal(saved.audio("c01"), clips.audio("c01"))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["set"]
    line = json.loads((tmp_path / "new/set/manifest.jsonl").read_text().splitlines()[0])
    assert list(line) == [
        "id", "path", "duration", "num_samples", "sampling_rate", "sha256", "license", "strata", "recipe",
    ]  # fmt: skip


def test_a_folder_that_holds_something_is_left_alone(make_set: MakeSet, tmp_path: Path) -> None:
    clips = ClipSet.load(make_set(12))
    (tmp_path / "there").mkdir()
    assert len(clips.save(tmp_path / "there")) == 12
    with pytest.raises(ClipSetError, match="there: it is there and not empty\nhint: name another folder"):
        clips.save(tmp_path / "there")


def test_a_clip_that_changed_stops_the_saving_and_leaves_nothing(make_set: MakeSet, tmp_path: Path) -> None:
    folder = make_set(12)
    clips = ClipSet.load(folder)
    (folder / "c05.wav").write_bytes((folder / "c04.wav").read_bytes())
    with pytest.raises(ClipError, match="'c05': its audio has changed since the set was made"):
        clips.save(tmp_path / "new")
    (folder / "c05.wav").unlink()
    with pytest.raises(ClipError, match="'c05': cannot read the file"):
        clips.save(tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["tones"]


def test_ids_make_safe_file_names(make_wav: Callable[..., bytes], tmp_path: Path) -> None:
    spool, audio = Spool(), make_wav(samples=bytes(3200))
    clip = describe("../a b/ü", audio)
    spool.write(clip.id, audio)
    saved = ClipSet([clip], locate=spool).save(tmp_path / "set")
    assert saved[0].path == "audio/00000-a-b.wav"
    assert saved[0].id == "../a b/ü"


def test_a_spool_goes_with_the_last_set_that_uses_it(make_wav: Callable[..., bytes]) -> None:
    spool, audio = Spool(), make_wav(samples=bytes(3200))
    spool.write("a", audio)
    folder = spool.folder
    clips = ClipSet([describe("a", audio)], locate=spool)
    del spool
    part = clips.subset(["a"])
    other = pickle.loads(pickle.dumps(part))  # noqa: S301
    del clips
    assert part.audio("a").shape == other.audio("a").shape == (1600,)
    del part
    assert not folder.exists()
