from pathlib import Path

import numpy as np
import pytest

from benchmarks.calibration_data.sources import CLEAN, Source, make_sources
from trtforge.audio import ClipSet, LogMel
from trtforge.feeds import Feeds

SET = Path(__file__).parents[3] / "calibration_sets/podcast_en"


@pytest.fixture(scope="module")
def clips() -> ClipSet:
    return ClipSet.load(SET, verify=False)


def by_key(sources: tuple[Source, ...]) -> dict[str, Source]:
    return {source.key: source for source in sources}


def test_as_many_clips_are_drawn_as_are_clean(clips: ClipSet) -> None:
    sources = by_key(make_sources(clips, LogMel()))
    clean = [c for c in clips if all(c.strata[factor] == value for factor, value in CLEAN.items())]
    assert len(sources["clean"].feeds) == len(sources["few"].feeds) == len(clean) > 0
    assert len(sources["representative"].feeds) == len(clips)
    assert sources["few"].feeds.digest == by_key(make_sources(clips, LogMel()))["few"].feeds.digest
    assert sources["few"].feeds.digest != by_key(make_sources(clips, LogMel(), seed=1))["few"].feeds.digest


@pytest.mark.parametrize("key", ["noise", "images", "images-standardized"])
def test_what_is_made_up_has_the_shapes_of_the_clips_and_is_the_same_again(clips: ClipSet, key: str) -> None:
    sources = by_key(make_sources(clips, LogMel(), limit=3))
    made = sources[key].feeds
    assert isinstance(made, Feeds)
    assert len(made) == 3
    shapes = [feed.arrays["mel"].shape for feed in sources["representative"].feeds]
    assert [feed.arrays["mel"].shape for feed in made] == shapes
    assert [feed.num_frames for feed in made] == [(shape[2],) for shape in shapes]
    np.testing.assert_array_equal(next(iter(made)).arrays["mel"], next(iter(made)).arrays["mel"])
    other = by_key(make_sources(clips, LogMel(), limit=3, seed=1))[key].feeds
    assert other.digest != made.digest
    assert not np.array_equal(next(iter(made)).arrays["mel"], next(iter(other)).arrays["mel"])


def test_white_noise_goes_through_the_features(clips: ClipSet) -> None:
    mel = next(iter(by_key(make_sources(clips, LogMel(), limit=1))["noise"].feeds)).arrays["mel"]
    np.testing.assert_allclose(mel.mean(axis=2), 0, atol=1e-5)
    np.testing.assert_allclose(mel.std(axis=2), 1, atol=1e-3)
