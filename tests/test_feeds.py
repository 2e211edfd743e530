"""Feeds say what they hold."""

import numpy as np
import pytest

from trtforge.audio import ClipSet
from trtforge.errors import InputError
from trtforge.feeds import ArrayFeeds, Feeds, as_feeds


def test_arrays_become_feeds_that_can_be_iterated_twice() -> None:
    feeds = as_feeds([{"x": np.zeros((1, 2))}, {"x": np.ones((1, 2))}])
    assert isinstance(feeds, Feeds)
    assert len(feeds) == 2
    assert (
        [float(feed.arrays["x"].sum()) for feed in feeds]
        == [float(f.arrays["x"].sum()) for f in feeds]
        == [0, 2]
    )


def test_the_digest_follows_the_values() -> None:
    one, same, other = (ArrayFeeds([{"x": np.full(3, value)}]) for value in (1.0, 1.0, 2.0))
    assert one.digest == same.digest != other.digest


def test_no_feeds_is_an_error() -> None:
    with pytest.raises(InputError, match="no feeds were given"):
        ArrayFeeds([])


def test_feeds_must_agree_on_their_names() -> None:
    with pytest.raises(InputError, match=r"feed 1 names inputs \['y'\], the first one \['x'\]"):
        ArrayFeeds([{"x": np.zeros(1)}, {"y": np.zeros(1)}])


def test_what_is_no_feeds_says_what_was_wanted() -> None:
    with pytest.raises(InputError, match=r"feeds were wanted, got str\nhint: pass clips\.feeds\(features\)"):
        as_feeds("calibration_sets/podcast_en")  # type: ignore[arg-type]
    clips = ClipSet.load("calibration_sets/podcast_en", verify=False)
    with pytest.raises(InputError, match="feeds were wanted, got ClipSet"):
        as_feeds(clips)  # type: ignore[arg-type]


def test_a_list_of_anything_else_is_refused() -> None:
    with pytest.raises(InputError, match="feed 1 is ndarray, and no mapping of input name to array"):
        ArrayFeeds([{"x": np.zeros(2)}, np.zeros(2)])  # type: ignore[list-item]
