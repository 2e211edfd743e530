import numpy as np
import pytest

from tests.calibration.audited import histogram, observed, two_tensors
from trtforge.calibration import ClipObservations
from trtforge.errors import CalibrationError


@pytest.mark.parametrize("memory_bytes", [1, 1 << 20])
def test_each_clip_comes_back_as_it_went_in_from_memory_and_from_disk(memory_bytes):
    clips, _ = two_tensors(6)
    clips["zeros"] = {"a": np.zeros(5), "b": np.full(100_000, 3.0)}
    store = observed(clips, memory_bytes=memory_bytes)
    for clip_id, values in clips.items():
        for name, array in values.items():
            assert store.histogram(clip_id, name) == histogram(array)
        assert store.histograms(clip_id)["b"] == histogram(values["b"])
    assert store.clip_ids == tuple(clips)


def test_merging_is_counting_all_values_together():
    clips, _ = two_tensors(6)
    store = observed(clips, rejected={"bad": "no audio"})
    whole = store.merged()
    assert whole.tensors["a"] == histogram(
        np.concatenate([clip["a"].astype(np.float32) for clip in clips.values()])
    )
    assert (whole.num_clips, whole.rejected) == (6, {"bad": "no audio"})
    part = store.merged(["clip-4", "clip-1"])
    assert part.tensors["b"].num_values == 2 * 4001
    assert part.num_clips == 2


def test_small_counts_take_small_types():
    # 4096 bins, one byte each; the last bin holds the largest value.
    store = observed({"x": {"a": (np.arange(4096) + 0.5) / 4096}})
    assert store.stored_bytes == 4096
    # Bin 0 of 300 values needs two bytes, and what is beyond the last count is not kept.
    store = observed({"x": {"a": [1.0] * 300 + [1e-9] * 300}})
    assert store.stored_bytes == 2 * 2049


def test_what_was_not_observed_is_named():
    store = observed(two_tensors(2)[0])
    with pytest.raises(
        CalibrationError, match=r"tensor 'c' of clip 'clip-0' was not observed; there are 2 tens"
    ):
        store.histogram("clip-0", "c")
    with pytest.raises(CalibrationError, match="clip 'nobody' is not among the 2 that were observed"):
        store.merged(["clip-0", "nobody"])
    with pytest.raises(CalibrationError, match="clip 'clip-0' was observed twice"):
        store.add("clip-0", {"a": histogram([1]), "b": histogram([1])})
    with pytest.raises(
        CalibrationError, match="clip 'new' was observed on other tensors: 'b' is on one side"
    ):
        store.add("new", {"a": histogram([1])})
    assert len(store) == 2


@pytest.mark.parametrize("memory_bytes", [1, 1 << 20])
@pytest.mark.filterwarnings("error::ResourceWarning")
def test_the_file_is_closed_with_the_observations(memory_bytes):
    observed = ClipObservations(["a"], model_sha256="m", feeds_sha256="f", memory_bytes=memory_bytes)
    observed.add("one", {"a": histogram(1.0)})
    file = observed._file
    del observed
    assert file.closed


def test_repr():
    store = ClipObservations(["a"], model_sha256="a" * 64, feeds_sha256="b" * 64)
    assert repr(store) == "ClipObservations(0 clips, 1 tensors, rejected=0, model=aaaaaaaaaaaa)"
