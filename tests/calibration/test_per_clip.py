import numpy as np
import pytest
from onnx import helper

from tests.calibration.networks import clip, convolutions, network
from tests.calibration.test_collect import ClipFeeds, clips
from trtforge.calibration import collect, collect_per_clip
from trtforge.errors import CalibrationError, ConfigError, InputError
from trtforge.feeds import ArrayFeeds, Feed

NAMES = ["mel", "conv", "relu", "rows", "scores"]
MODEL = convolutions()


class Anonymous:
    digest = "e" * 64

    def __len__(self):
        return 1

    def __iter__(self):
        yield Feed({"mel": clip(0, 9)[None]})


@pytest.mark.parametrize("batch_size", [1, 4])
def test_clips_together_are_what_collect_counts(batch_size):
    feeds = ClipFeeds(clips(), batch_size, padding=0.0, rejected={"clip-x": "no audio"})
    observed = collect_per_clip(MODEL, feeds, NAMES)
    whole = collect(MODEL, feeds, NAMES)
    merged = observed.merged()
    assert merged.tensors == whole.tensors
    assert (merged.model_sha256, merged.feeds_sha256) == (whole.model_sha256, whole.feeds_sha256)
    assert merged.rejected == whole.rejected == {"clip-x": "no audio"}
    assert merged.num_clips == 20


def test_each_clip_has_its_own_counts_without_padding():
    some = clips(5)
    observed = collect_per_clip(MODEL, ClipFeeds(some, 3), ["mel"])
    for name, values in some.items():
        alone = collect(MODEL, ClipFeeds({name: values}), ["mel"])
        assert observed.histogram(name, "mel") == alone.tensors["mel"]
        assert observed.histogram(name, "mel").num_values == values.size


def test_progress_and_digest():
    seen = []
    observed = collect_per_clip(
        MODEL,
        ClipFeeds(clips(5), 2),
        ["relu"],
        on_progress=lambda *step: seen.append(step),
        model_sha256="c" * 64,
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]
    assert observed.model_sha256 == "c" * 64


def test_clip_that_is_not_finite_is_left_out_alone():
    some = clips(200, num_frames=6)
    some["clip-7"][2, 3] = np.nan
    observed = collect_per_clip(MODEL, ClipFeeds(some, batch_size=2), ["mel", "conv"])
    assert len(observed) == 199
    assert observed.rejected == {
        "clip-7": "the feed itself holds NaN or infinity: 1 of 24 values of input 'mel' are not finite"
    }
    some["clip-8"][0, 0] = some["clip-9"][0, 0] = np.inf
    with pytest.raises(
        CalibrationError, match="3 of 200 clips gave non-finite activations, more than the 1 %"
    ):
        collect_per_clip(MODEL, ClipFeeds(some), ["mel"])


def test_refusals():
    with pytest.raises(CalibrationError, match="the network has no tensor 'rellu' to observe; the nearest"):
        collect_per_clip(MODEL, ClipFeeds(clips(1)), ["rellu"])
    with pytest.raises(CalibrationError, match=r"at least one clip, got none \(1 were rejected\)"):
        collect_per_clip(MODEL, ClipFeeds({}, rejected={"a": "no audio"}), ["mel"])
    with pytest.raises(CalibrationError, match="a feed names no clips"):
        collect_per_clip(MODEL, Anonymous(), ["mel"])
    with pytest.raises(ConfigError, match=r"max_nonfinite_share must lie in 0 to 1, got 2"):
        collect_per_clip(MODEL, ClipFeeds(clips(1)), ["mel"], max_nonfinite_share=2)
    with pytest.raises(InputError, match=r"gives 'mel' as float32 \[1, 3, 9\]"):
        collect_per_clip(MODEL, ArrayFeeds([{"mel": np.ones((1, 3, 9), np.float32)}]), ["conv"])


def test_tensor_of_no_clip_alone_is_refused_in_batches_only():
    total = network(
        [helper.make_node("ReduceSum", ["mel"], ["total"], keepdims=0)],
        {"mel": ["batch", 4, "frames"]},
        ["total"],
    )
    assert (
        collect_per_clip(total, ClipFeeds(clips(2)), ["total"]).histogram("clip-0", "total").num_values == 1
    )
    with pytest.raises(CalibrationError, match="tensor 'total' does not divide among the 2 clips of a batch"):
        collect_per_clip(total, ClipFeeds(clips(2), 2), ["total"])


def test_segments_count_the_same():
    whole = collect_per_clip(MODEL, ClipFeeds(clips(5), 2), NAMES)
    cut = collect_per_clip(MODEL, ClipFeeds(clips(5), 2), NAMES, activation_bytes=1)
    assert cut.merged().tensors == whole.merged().tensors
