import gc
import tracemalloc

import numpy as np
import pytest
from onnx import helper

from tests.calibration.networks import clip, convolutions, network, with_outputs
from trtforge._ort import make_session
from trtforge.calibration.padding import ClipParts
from trtforge.errors import InputError
from trtforge.feeds import Feed

NAMES = ["conv", "relu", "rows", "scores", "flat", "mean"]
LENGTHS = (13, 6, 1, 20)


def padded(lengths, total=None):
    mel = np.zeros((len(lengths), 4, total or max(lengths)), np.float32)
    for row, length in enumerate(lengths):
        mel[row, :, :length] = clip(row, length)
    return Feed({"mel": mel}, tuple(f"clip-{row}" for row in range(len(lengths))), tuple(lengths))


def activations(model, mel):
    session = make_session(with_outputs(model, NAMES), purpose="test")
    return dict(zip(NAMES, session.run(NAMES, {"mel": mel}), strict=True))


@pytest.mark.parametrize("total", [20, 27])
def test_parts_have_the_shape_and_values_of_the_clip_alone(total):
    model = convolutions()
    feed = padded(LENGTHS, total)
    parts = ClipParts(model).cut(feed, activations(model, feed.arrays["mel"]))
    for row, length in enumerate(LENGTHS):
        alone = activations(model, clip(row, length)[None])
        for name in NAMES:
            part = parts[name][row]
            assert (part.row, part.values.shape) == (row, alone[name].shape)
            if name != "mean":  # the mean over time has mixed the padding in
                assert np.array_equal(part.values, alone[name])


def test_static_time_axis():
    model = convolutions(frames=20)
    feed = padded(LENGTHS)
    parts = ClipParts(model).cut(feed, activations(model, feed.arrays["mel"]))
    assert [part.values.shape for part in parts["conv"]] == [(1, 6, 7), (1, 6, 3), (1, 6, 1), (1, 6, 10)]


def test_lengths_stand_in_where_inference_ends():
    # Positions of the padded length only: shape inference cannot add them to a shorter clip.
    model = convolutions(frames=20)
    model.graph.node.insert(1, network([], {}, []).graph.node.add(op_type="Add"))
    node = model.graph.node[1]
    node.input.extend(["conv", "positions"])
    node.output.append("placed")
    model.graph.node[2].input[0] = "placed"
    model.graph.initializer.add(
        name="positions", data_type=1, dims=[10], raw_data=np.arange(10, dtype=np.float32).tobytes()
    )
    feed = padded((13, 6, 3, 20))
    parts = ClipParts(model).cut(feed, activations(model, feed.arrays["mel"]))
    assert [part.values.shape[2] for part in parts["relu"]] == [7, 3, 2, 10]
    assert [part.values.shape[1:] for part in parts["scores"]] == [(7, 7), (3, 3), (2, 2), (10, 10)]
    assert [part.values.shape for part in parts["mean"]] == [(1, 6)] * 4


def test_unpadded_rows_are_whole():
    feed = Feed({"mel": np.zeros((2, 4, 9), np.float32)}, ("a", "b"))
    parts = ClipParts(convolutions()).cut(feed, {"mel": feed.arrays["mel"], "scale": np.float32([[3]])})
    assert [(part.row, part.values.shape) for part in parts["mel"]] == [(0, (1, 4, 9)), (1, (1, 4, 9))]
    assert [(part.row, part.values.shape) for part in parts["scale"]] == [(None, (1, 1))]


def test_clips_shorter_than_a_kernel_have_no_part():
    model = network(
        [
            helper.make_node("Conv", ["mel", "kernel"], ["conv"]),
            helper.make_node("Conv", ["conv", "kernel"], ["again"]),
        ],
        {"mel": ["batch", 4, "frames"]},
        ["again"],
        {"kernel": np.ones((4, 4, 3), np.float32)},
    )
    feed = padded((2, 4, 16))
    given = {"conv": np.zeros((3, 4, 14), np.float32), "again": np.zeros((3, 4, 12), np.float32)}
    parts = ClipParts(model).cut(feed, given)
    assert [part.values.shape for part in parts["conv"]] == [(1, 4, 0), (1, 4, 2), (1, 4, 14)]
    assert [part.values.shape for part in parts["again"]] == [(1, 4, 0), (1, 4, 0), (1, 4, 12)]


def recurrent(speaker=False):
    """Time first, as recurrent layers have it; with or without an embedding of the speaker."""
    rng = np.random.default_rng(0)
    inputs = {"mel": ["batch", 4, "frames"]} | ({"speaker": ["batch", 30]} if speaker else {})
    return network(
        [
            helper.make_node("Transpose", ["mel"], ["steps"], perm=[2, 0, 1]),
            *([helper.make_node("MatMul", ["speaker", "map"], ["shift"])] if speaker else []),
            helper.make_node("Add", ["steps", "shift"], ["shifted"]),
            helper.make_node("LSTM", ["shifted", "W", "R"], ["hidden", "last"], hidden_size=2),
        ],
        inputs,
        ["hidden", "last"],
        {
            "W": rng.standard_normal((1, 8, 4)).astype(np.float32),
            "R": rng.standard_normal((1, 8, 2)).astype(np.float32),
            **({"map": np.ones((30, 4), np.float32)} if speaker else {"shift": np.ones(4, np.float32)}),
        },
    )


@pytest.mark.parametrize("speaker", [False, True])
def test_time_before_clips_and_inputs_without_time(speaker):
    model = recurrent(speaker)
    lengths = (13, 6, 1, 20)
    feed = padded(lengths)
    embedded = {"speaker": np.arange(120, dtype=np.float32).reshape(4, 30)} if speaker else {}
    feed = Feed({**feed.arrays, **embedded}, feed.clip_ids, feed.num_frames)
    names = ["steps", "shifted", "hidden", "last"]
    session = make_session(with_outputs(model, names), purpose="test")
    given = dict(zip(names, session.run(names, dict(feed.arrays)), strict=True))
    parts = ClipParts(model).cut(feed, {**given, **embedded})
    for row, length in enumerate(lengths):
        own = {name: array[row : row + 1] for name, array in feed.arrays.items()}
        alone = session.run(names, {**own, "mel": own["mel"][:, :, :length]})
        for name, values in zip(names[:3], alone[:3], strict=True):
            part = parts[name][row]
            assert (part.row, part.axis, part.values.shape) == (
                row,
                2 if name == "hidden" else 1,
                values.shape,
            )
            assert np.allclose(part.values, values, rtol=0, atol=1e-6)
        assert parts["last"][row].values.shape == (1, 1, 2)
        if speaker:
            assert np.array_equal(parts["speaker"][row].values, embedded["speaker"][row : row + 1])


def test_what_is_the_same_for_one_clip_and_for_many_belongs_to_all():
    model = network(
        [
            helper.make_node("Mul", ["places", "places"], ["table"]),
            helper.make_node("Add", ["mel", "table"], ["placed"]),
        ],
        {"mel": ["batch", 4, "frames"]},
        ["placed"],
        {"places": np.ones((4, 1), np.float32)},
    )
    parts = ClipParts(model).cut(padded((5, 9)), {"table": np.ones((4, 1), np.float32)})
    assert [(part.row, part.values.shape) for part in parts["table"]] == [(None, (4, 1))]


def test_memory_does_not_grow_with_the_lengths_that_were_seen():
    parts = ClipParts(convolutions())
    tracemalloc.start()
    held = []
    for length in range(20, 220):
        feed = padded((length, 7))
        parts.cut(feed, {"mel": feed.arrays["mel"]})
        if length in (60, 219):
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[1] - held[0] < 30_000


def test_scalar():
    feed = Feed({"mel": np.zeros((1, 4, 9), np.float32)})
    parts = ClipParts(convolutions()).cut(feed, {"x": np.array(2.0, np.float32)})
    assert parts["x"][0].values.shape == ()


@pytest.mark.parametrize(
    ("shape", "ids", "lengths", "message"),
    [
        ((2, 4, 9), ("a", "b"), (9,), "names 2 clips and 1 true lengths"),
        ((2, 4, 9), ("a", "b"), (9, 0), "at least 1 frame, got 0"),
        ((2, 4, 9), ("a", "b"), (9, 10), r"up to 10 frames, and no axis .*: mel \[2, 4, 9\]"),
        ((3, 4, 9), ("a", "b"), (9, 5), r"no axis of the inputs is certain"),
    ],
)
def test_lengths_that_do_not_fit(shape, ids, lengths, message):
    feed = Feed({"mel": np.zeros(shape, np.float32)}, ids, lengths)
    with pytest.raises(InputError, match=message):
        ClipParts(convolutions()).cut(feed, dict(feed.arrays))
