from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trtforge.audio import Clip, ClipFeeds, ClipSet, LogMel
from trtforge.errors import ClipSetError, ConfigError
from trtforge.feeds import Feeds, as_feeds

MakeSet = Callable[..., Path]


def test_feeds_follow_the_protocol(make_set: MakeSet) -> None:
    feeds = ClipSet.load(make_set(5)).feeds(LogMel(input_name="audio_signal"))
    assert isinstance(feeds, Feeds)
    assert as_feeds(feeds) is feeds
    assert len(feeds) == 5
    shapes = [feed.arrays["audio_signal"].shape for feed in feeds]
    assert shapes == [(1, 80, 51), (1, 80, 61), (1, 80, 71), (1, 80, 81), (1, 80, 91)]


def test_batches_are_padded_with_zeros_after_the_features(make_set: MakeSet) -> None:
    clips = ClipSet.load(make_set(5))
    features = LogMel()
    feeds = list(clips.feeds(features, batch_size=2))
    assert [feed.clip_ids for feed in feeds] == [("c00", "c01"), ("c02", "c03"), ("c04",)]
    assert [feed.num_frames for feed in feeds] == [(51, 61), (71, 81), (91,)]
    mel = feeds[0].arrays["mel"]
    assert (mel.dtype, mel.shape) == (np.float32, (2, 80, 61))
    np.testing.assert_array_equal(mel[0, :, :51], features(clips.audio("c00")))
    np.testing.assert_array_equal(mel[1], features(clips.audio("c01")))
    assert not mel[0, :, 51:].any()


def test_feeds_can_be_iterated_again(make_set: MakeSet) -> None:
    feeds = ClipSet.load(make_set(3)).feeds(LogMel(), batch_size=3)
    first, second = next(iter(feeds)), next(iter(feeds))
    np.testing.assert_array_equal(first.arrays["mel"], second.arrays["mel"])


def test_digest_changes_with_clips_and_features_only(make_set: MakeSet) -> None:
    clips = ClipSet.load(make_set(3))
    digest = clips.feeds(LogMel()).digest
    assert digest == clips.feeds(LogMel(), batch_size=3).digest
    assert digest != clips.feeds(LogMel(hop_length=200)).digest
    assert digest != clips.feeds(LogMel(), short="pad").digest
    assert digest != clips[:2].feeds(LogMel()).digest


def test_a_clip_that_cannot_be_decoded_is_set_aside(make_set: MakeSet) -> None:
    folder = make_set(11)
    feeds = ClipSet.load(folder).feeds(LogMel(), batch_size=4)
    (folder / "c01.wav").write_bytes(b"")
    assert feeds.rejected == {}
    assert [feed.clip_ids for feed in feeds] == [
        ("c00", "c02", "c03", "c04"),
        ("c05", "c06", "c07", "c08"),
        ("c09", "c10"),
    ]
    assert feeds.rejected == {"c01": "clip 'c01': the file is empty (0 bytes)"}


def test_what_the_set_refused_is_rejected_too(make_set: MakeSet) -> None:
    folder = make_set(12)
    (folder / "c04.wav").write_bytes(b"")
    clips = ClipSet.load(folder)
    (folder / "c01.wav").unlink()
    feeds = clips.feeds(LogMel())
    assert feeds.rejected == clips.rejected
    assert sum(1 for _ in feeds) == 10
    assert list(feeds.rejected) == ["c04", "c01"]
    assert "the file is empty" in feeds.rejected["c04"]
    assert "No such file" in feeds.rejected["c01"]


def test_too_many_clips_that_cannot_be_decoded(make_set: MakeSet) -> None:
    folder = make_set(11)
    feeds = ClipSet.load(folder).feeds(LogMel())
    for name in ("c03", "c07"):
        (folder / f"{name}.wav").unlink()
    fed = []
    with pytest.raises(
        ClipSetError, match="2 of 11 clips of 'tones' are unusable, at most 10% may be: clip 'c03'"
    ):
        fed.extend(feed.clip_ids[0] for feed in feeds)
    assert fed == ["c00", "c01", "c02", "c04", "c05", "c06"]
    assert feeds.rejected.keys() == {"c03", "c07"}


def test_clips_shorter_than_the_window(make_set: MakeSet) -> None:
    clips = ClipSet.load(make_set(11))
    features = LogMel(min_frames=52)
    feeds = clips.feeds(features)
    assert sum(1 for _ in feeds) == 10
    assert feeds.rejected == {"c00": "clip 'c00': 8000 samples at 16000 Hz, the features need 8160"}
    padding = clips.feeds(features, short="pad")
    first = next(iter(padding))
    assert first.arrays["mel"].shape == (1, 80, 52)
    assert first.num_frames == (51,)
    assert padding.padded == {"c00": 8000}


def test_settings_out_of_range(make_set: MakeSet) -> None:
    clips = ClipSet.load(make_set(2))
    with pytest.raises(ConfigError, match="batch_size must be at least 1, got 0"):
        clips.feeds(LogMel(), batch_size=0)
    with pytest.raises(ConfigError, match='short must be "reject" or "pad", got \'skip\''):
        clips.feeds(LogMel(), short="skip")  # type: ignore[arg-type]


def test_memory_does_not_grow_with_the_set(make_set: MakeSet) -> None:
    folder = make_set(1)
    path = folder / "c00.wav"
    clips = ClipSet(
        (Clip(f"c{n}", "", None, 0.5, 8000, 16_000, "") for n in range(10_000)), locate=lambda _: path
    )
    feeds = ClipFeeds(clips, LogMel(), batch_size=2)
    iterator = iter(feeds)
    next(iterator)
    tracemalloc.start()
    for _ in range(100):
        next(iterator)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, trtforge.audio; heavy = {'librosa', 'soundfile', 'soxr', 'numba', 'scipy', 'onnx'}; "
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
