import gc
from itertools import pairwise

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.calibration.networks import clip, convolutions, network
from trtforge._ort import shared_memory
from trtforge.calibration import collect
from trtforge.calibration.activations import ActivationSource
from trtforge.errors import CalibrationError
from trtforge.feeds import ArrayFeeds

NAMES = ["conv", "relu", "rows", "scores", "mean"]


def everything(source, arrays):
    return [{name: array.copy() for name, array in step.items()} for step in source.run(arrays, ["x"])]


def merged(steps):
    return {name: array for step in steps for name, array in step.items()}


@pytest.mark.parametrize("activation_bytes", [1, 5_000, 20_000, 1 << 30])
def test_segments_give_what_the_whole_network_gives(activation_bytes):
    mel = {"mel": clip(3, 100)[None]}
    whole = everything(ActivationSource(convolutions(), NAMES, activation_bytes=1 << 30), mel)
    source = ActivationSource(convolutions(), NAMES, activation_bytes=activation_bytes)
    steps = everything(source, mel)
    assert [len(whole), source.num_segments == 1] == [1, activation_bytes >= 20_000]
    assert merged(steps).keys() == set(NAMES)
    for name, array in merged(steps).items():
        assert np.array_equal(array, whole[0][name])
    if activation_bytes == 5_000:  # 6 x 50 floats a tensor, and scores of 50 x 50 alone above the bound
        assert all(
            sum(array.nbytes for array in step.values()) <= 5_000 or list(step) == ["scores"]
            for step in steps
        )


def test_each_tensor_is_given_once():
    source = ActivationSource(convolutions(), NAMES, activation_bytes=3_000)
    names = [name for step in everything(source, {"mel": clip(0, 100)[None]}) for name in step]
    assert sorted(names) == sorted(NAMES)
    assert source.num_segments > 2


def test_nodes_that_nothing_observed_needs_are_not_run():
    broken = convolutions()
    broken.graph.node.add(op_type="MatMul", input=["relu", "relu"], output=["impossible"])
    source = ActivationSource(broken, ["relu"], activation_bytes=1 << 30)
    assert everything(source, {"mel": clip(0, 9)[None]})[0]["relu"].shape == (1, 6, 5)


def test_longer_feeds_are_planned_anew_and_shorter_ones_are_not():
    source = ActivationSource(convolutions(), NAMES, activation_bytes=20_000)
    counts = []
    for frames in (20, 400, 20, 410, 400):
        everything(source, {"mel": clip(0, frames)[None]})
        counts.append(source.num_segments)
    assert counts[0] == 1
    assert counts[1] > 1
    assert all(now >= before for before, now in pairwise(counts))


def test_subgraphs_read_what_crosses_a_cut():
    then = helper.make_graph([helper.make_node("Add", ["b", "a"], ["sum"])], "then", [], [_float("sum")], [])
    other = helper.make_graph([helper.make_node("Neg", ["b"], ["neg"])], "else", [], [_float("neg")], [])
    model = network(
        [
            helper.make_node("Relu", ["x"], ["a"]),
            helper.make_node("Neg", ["a"], ["b"]),
            helper.make_node("If", ["yes"], ["c"], then_branch=then, else_branch=other),
        ],
        {"x": [4]},
        ["c"],
        {"yes": np.array(True)},
    )
    source = ActivationSource(model, ["a", "b", "c"], activation_bytes=1)
    given = merged(everything(source, {"x": np.float32([1, -2, 3, 4])}))
    assert source.num_segments == 3
    assert given["b"].tolist() == [-1, 0, -3, -4]
    assert given["c"].tolist() == [0, 0, 0, 0]


def test_no_cut_goes_through_a_type_that_numpy_lacks():
    small = network(
        [
            helper.make_node("Relu", ["x"], ["relu"]),
            helper.make_node("Cast", ["relu"], ["brief"], to=TensorProto.BFLOAT16),
            helper.make_node("Cast", ["brief"], ["back"], to=TensorProto.FLOAT),
            helper.make_node("Tanh", ["back"], ["y"]),
        ],
        {"x": ["n", 8]},
        ["y"],
    )
    x = {"x": np.linspace(-1, 1, 16, dtype=np.float32).reshape(2, 8)}
    names = ["relu", "back", "y"]
    whole = merged(everything(ActivationSource(small, names, activation_bytes=1 << 30), x))
    source = ActivationSource(small, names, activation_bytes=1)
    cut = merged(everything(source, x))
    assert source.num_segments == 3
    assert all(np.array_equal(cut[name], whole[name]) for name in names)
    with pytest.raises(CalibrationError, match=r"'brief' cannot be observed: .* does not give out bfloat16"):
        ActivationSource(small, ["brief"], activation_bytes=1)


def test_failure_names_what_was_run():
    add = network([helper.make_node("Add", ["x", "y"], ["z"])], {"x": ["a"], "y": ["b"]}, ["z"])
    source = ActivationSource(add, ["z"], activation_bytes=1 << 30)
    with pytest.raises(CalibrationError, match="the network fails on clips seven: Add: ") as caught:
        list(source.run({"x": np.ones(2, np.float32), "y": np.ones(3, np.float32)}, ["seven"]))
    assert caught.value.hint is None


def test_clips_longer_than_the_network_takes_are_named_once_and_shortly(capfd):
    nodes = [helper.make_node("Add", ["x", "positions"], ["z"], name="embed")]
    model = network(nodes, {"x": ["batch", "time", 2]}, ["z"], {"positions": np.zeros((30, 2), np.float32)})
    source = ActivationSource(model, ["z"], activation_bytes=1 << 30)
    (given,) = source.run({"x": np.ones((1, 30, 2), np.float32)}, ["short"], [30])
    assert given["z"].shape == (1, 30, 2)
    with pytest.raises(CalibrationError) as caught:
        list(source.run({"x": np.ones((2, 40, 2), np.float32)}, ["long", "other"], [40, 25]))
    assert caught.value.message == (
        "the network fails on clips long (40 frames), other (25 frames): Add 'embed': Attempting to "
        "broadcast an axis by a dimension other than 1. 30 by 40"
    )
    assert caught.value.hint == (
        "if the network takes fewer frames at most, cut the clips to that, or leave longer ones out"
    )
    assert capfd.readouterr() == ("", "")


def layers(count, width=256):
    rng = np.random.default_rng(0)
    nodes, weights = [], {}
    for i in range(count):
        weights[f"w{i}"] = rng.standard_normal((width, width), np.float32) / width**0.5
        nodes += [
            helper.make_node("MatMul", [f"t{i}", f"w{i}"], [f"p{i}"]),
            helper.make_node("Relu", [f"p{i}"], [f"t{i + 1}"]),
        ]
    return network(nodes, {"t0": ["rows", width]}, [f"t{count}"], weights)


def resident_bytes():
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * 4096


def test_memory_is_bounded_and_returned():
    # 24 tensors of 8.4 MB: 200 MB held at once without a bound, under 40 MB with one of 32 MB.
    model = layers(12)
    names = [name for node in model.graph.node for name in node.output]
    rows = {"t0": np.random.default_rng(1).standard_normal((8192, 256), np.float32)}
    peak = 0
    with shared_memory():
        source = ActivationSource(model, names, activation_bytes=32_000_000)
        list(source.run({"t0": rows["t0"][:8192]}, ["x"]))
        gc.collect()
        before = resident_bytes()
        for _ in range(3):
            for step in source.run(rows, ["x"]):
                peak = max(peak, resident_bytes() - before)
                del step
        assert source.num_segments >= 6
        assert peak < 40_000_000
        del source


def test_scales_do_not_depend_on_the_bound():
    model = layers(6, width=64)
    names = ["t0", *(name for node in model.graph.node for name in node.output)]
    rng = np.random.default_rng(2)
    feeds = ArrayFeeds([{"t0": rng.standard_normal((n, 64), np.float32)} for n in (200, 400)])
    whole = collect(model, feeds, names)
    bounded = collect(model, feeds, names, activation_bytes=250_000)
    assert bounded.tensors == whole.tensors
    assert bounded.num_clips == 2


def _float(name):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
