import numpy as np
import onnx

from benchmarks.collection.inputs import joined_windows
from benchmarks.native_calibrator.networks import (
    NETWORKS,
    TITLES,
    convolution_stack,
    make_subject,
    total_rows,
)
from trtforge._ort import make_session
from trtforge.feeds import ArrayFeeds


def test_clips_are_joined_and_cut():
    clips = [np.arange(start, start + length, dtype=np.float32) for start, length in ((0, 5), (5, 1), (6, 7))]
    feeds = ArrayFeeds([{"mel": np.stack([clip, -clip])[np.newaxis]} for clip in clips])
    windows = list(joined_windows(feeds, 4))
    assert [window[0].tolist() for window in windows] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert all((window[1] == -window[0]).all() for window in windows)


def test_the_stack_keeps_lengths_and_the_size_of_activations():
    model = convolution_stack(4, channels=64, kernel=17)
    onnx.checker.check_model(model, full_check=True)
    mel = np.random.default_rng(0).standard_normal((2, 80, 50), np.float32)
    (hidden,) = make_session(model, purpose="test").run(None, {"mel": mel})
    assert hidden.shape == (2, 64, 50)
    assert 0.5 < hidden.std() < 2.5
    assert [node.op_type for node in model.graph.node] == ["Conv", "Relu"] * 3 + ["Conv"]


def test_a_trial_takes_so_many_batches_of_the_calibration_shape():
    for name in NETWORKS:
        subject = make_subject(name, limit=1)
        (ranges,) = subject.profile.shapes.values()
        (batch,) = subject.batches
        assert batch["mel"].shape == ranges.opt
        assert total_rows(subject.batches) == ranges.opt[0]
        assert subject.has_words == (name == "recogniser")
    assert set(TITLES) == set(NETWORKS)
