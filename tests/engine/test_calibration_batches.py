import numpy as np
import pytest

from trtforge.engine.calibration_batches import batches_of_shape
from trtforge.errors import CalibrationError, InputError
from trtforge.feeds import ArrayFeeds, Feed
from trtforge.model import TensorSpec

MEL = (TensorSpec("mel", "float32", ("batch", 2, "frames")),)


class Clips:
    """Clips whose frames count upwards from a multiple of 100, padded with zeros."""

    digest = "0" * 64

    def __init__(self, *batches):
        self.batches = batches

    def __len__(self):
        return sum(map(len, self.batches))

    def __iter__(self):
        number = 0
        for lengths in self.batches:
            mel = np.zeros((len(lengths), 2, max(lengths)), np.float32)
            for row, length in enumerate(lengths):
                number += 1
                mel[row, :, :length] = 100 * number + np.arange(length)
            yield Feed({"mel": mel}, tuple(f"clip-{n}" for n in lengths), tuple(lengths))


def rows(feeds, batch=1, frames=4):
    batches = list(batches_of_shape(feeds, MEL, {"mel": (batch, 2, frames)}))
    assert {made["mel"].shape for made in batches} == {(batch, 2, frames)}
    return [made["mel"][:, 0].tolist() for made in batches]


def test_clips_are_cut_repeated_and_never_padded():
    assert rows(Clips([4], [9, 3], [5])) == [
        [[100, 101, 102, 103]],
        [[200, 201, 202, 203]],
        [[204, 205, 206, 207]],
        [[300, 301, 302, 300]],
        [[400, 401, 402, 403]],
    ]


def test_the_last_batch_is_filled_with_its_own_rows():
    assert rows(Clips([4, 4], [4]), batch=2) == [
        [[100, 101, 102, 103], [200, 201, 202, 203]],
        [[300, 301, 302, 303]] * 2,
    ]


def test_other_networks_are_fed_as_they_are():
    inputs = (TensorSpec("mel", "float32", ("b", 2, "t")), TensorSpec("lengths", "int64", ("b",)))
    shapes = {"mel": (2, 2, 4), "lengths": (2,)}
    whole = {"mel": np.ones((2, 2, 4), np.float32), "lengths": np.array([4, 2])}
    (same,) = batches_of_shape(ArrayFeeds([whole]), inputs, shapes)
    assert all(np.array_equal(same[name], whole[name]) for name in whole)
    single = {name: array[:1] for name, array in whole.items()}
    (joined,) = batches_of_shape(ArrayFeeds([single, single]), inputs, shapes)
    assert joined["lengths"].tolist() == [4, 4]
    short = {"mel": whole["mel"][:, :, :3], "lengths": whole["lengths"]}
    with pytest.raises(
        InputError, match=r"row of input 'mel' has shape \(2, 3\), calibration runs at \(2, 4\)"
    ):
        list(batches_of_shape(ArrayFeeds([short]), inputs, shapes))


def test_what_does_not_fit_is_named():
    with pytest.raises(InputError, match=r"a feed names inputs \['wave'\], the network takes \['mel'\]"):
        rows(ArrayFeeds([{"wave": np.zeros((1, 2, 4), np.float32)}]))
    with pytest.raises(CalibrationError, match="'mel' of clips batch-0 holds values that are not finite"):
        rows(ArrayFeeds([{"mel": np.full((1, 2, 4), np.inf, np.float32)}]))
