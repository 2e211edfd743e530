"""1-D convolutions as 2-D ones: the same numbers, and nothing between what TensorRT fuses."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.bundled import CALIBRATION_SET, MODEL, some_clips
from tests.engine.networks import PROFILE, conv_net
from trtforge import calibrate, quantize
from trtforge._optional import is_installed
from trtforge.audio import LogMel
from trtforge.engine import BuildConfig, build
from trtforge.graph import convolutions_in_2d, prepare
from trtforge.graph.index import GraphIndex
from trtforge.model import load_model
from trtforge.runtime import OnnxRunner

RNG = np.random.default_rng(0)


def same_numbers(model: onnx.ModelProto, arrays: dict[str, np.ndarray]) -> onnx.ModelProto:
    before = model.SerializeToString(deterministic=True)
    flat = convolutions_in_2d(model)
    assert model.SerializeToString(deterministic=True) == before
    onnx.checker.check_model(flat, full_check=True)
    with OnnxRunner(model) as first, OnnxRunner(flat) as second:
        wanted, got = first.run(arrays), second.run(arrays)
    assert wanted.keys() == got.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-5)
    weights = {tensor.name: tensor for tensor in flat.graph.initializer}
    index = GraphIndex(flat.graph)
    for node in flat.graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            name = node.input[1]
            while name not in weights:
                producer = index.producer(name)
                assert producer is not None
                name = producer.input[0]
            assert len(weights[name].dims) == 4
    return flat


def network(nodes: list[onnx.NodeProto], **constants: np.ndarray) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, "frames"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "channels", "steps"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def noise(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def test_the_quantized_recogniser_computes_the_same() -> None:
    clips = some_clips(CALIBRATION_SET, 2)
    model = load_model(MODEL)
    quantized = quantize(model, calibrate(model, clips.feeds(LogMel())), rest="float32")
    flat = same_numbers(quantized, {"mel": noise(2, 80, 200)})
    kinds = [node.op_type for node in flat.graph.node]
    # One axis put in, one taken out: the whole body runs with it, and keeps its quantizers where they were.
    assert (kinds.count("Unsqueeze"), kinds.count("Squeeze")) == (1, 1)
    assert kinds[:2] == ["Unsqueeze", "QuantizeLinear"] or "Unsqueeze" in kinds[:3]
    assert len(kinds) == len(quantized.graph.node) + 2


def test_the_axis_is_kept_through_what_runs_channel_by_channel() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], name="a", pads=[1, 1]),
        helper.make_node("BatchNormalization", ["a", "scale", "shift", "mean", "var"], ["b"], name="b"),
        helper.make_node("Relu", ["b"], ["c"], name="c"),
        helper.make_node("Conv", ["c", "w2"], ["y"], name="y"),
    ]
    per_channel = {"scale": noise(6), "shift": noise(6), "mean": noise(6), "var": np.abs(noise(6)) + 1}
    model = network(nodes, w1=noise(6, 4, 3), w2=noise(5, 6, 3), **per_channel)
    flat = same_numbers(model, {"x": noise(2, 4, 30)})
    kinds = [node.op_type for node in flat.graph.node]
    assert kinds == ["Unsqueeze", "Conv", "BatchNormalization", "Relu", "Conv", "Squeeze"]


@pytest.mark.parametrize("shape", [(6, 1), (1, 6, 1), (30,), (6, 30), (1, 1, 1)])
def test_constants_broadcast_with_the_axis_as_without(shape: tuple[int, ...]) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], name="a", pads=[1, 1]),
        helper.make_node("Mul", ["gain", "a"], ["b"], name="b"),
        helper.make_node("PRelu", ["b", "slope"], ["c"], name="c"),
        helper.make_node("Add", ["c", "gain"], ["d"], name="d"),
        helper.make_node("Conv", ["d", "w2"], ["y"], name="y"),
    ]
    weights = {"w1": noise(6, 4, 3) / 4, "w2": noise(5, 6, 3) / 4}
    model = network(nodes, **weights, gain=noise(*shape), slope=noise(6, 1))
    flat = same_numbers(model, {"x": noise(2, 4, 30)})
    kinds = [node.op_type for node in flat.graph.node]
    assert kinds == ["Unsqueeze", "Conv", "Mul", "PRelu", "Add", "Conv", "Squeeze"]


def test_quantizers_that_count_axes_from_the_end_keep_theirs() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "scale", "zero"], ["q"], name="q", axis=-3),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], name="d", axis=-3),
        helper.make_node("Conv", ["x", "d"], ["y"], name="y"),
    ]
    scale = np.linspace(0.01, 0.04, 4, dtype=np.float32)
    model = network(nodes, w=noise(4, 4, 3), scale=scale, zero=np.zeros(4, np.int8))
    same_numbers(model, {"x": noise(2, 4, 30)})


def test_a_weight_that_is_an_input_too_keeps_its_shape_known() -> None:
    model = network([helper.make_node("Conv", ["x", "w"], ["y"], name="y")], w=noise(5, 4, 3))
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [5, 4, 3]))
    flat = same_numbers(model, {"x": noise(2, 4, 30)})
    (shape,) = (value.type.tensor_type.shape for value in flat.graph.input if value.name == "w")
    assert [size.dim_value for size in shape.dim] == [5, 4, 1, 3]


def test_a_network_of_an_old_opset_is_left_as_it_is() -> None:
    model = network([helper.make_node("Conv", ["x", "w"], ["y"], name="y")], w=noise(5, 4, 3))
    model.opset_import[0].version = 12
    assert convolutions_in_2d(model) is model


def test_strides_pads_dilations_groups_and_bias_keep_their_meaning() -> None:
    nodes = [
        helper.make_node(
            "Conv", ["x", "w1", "b1"], ["a"], name="a", strides=[2], pads=[3, 1], dilations=[2], group=2
        ),
        helper.make_node("LeakyRelu", ["a"], ["b"], name="b", alpha=0.1),
        helper.make_node(
            "ConvTranspose", ["b", "w2"], ["y"], name="y", strides=[3], pads=[1, 2], output_padding=[1]
        ),
    ]
    model = network(nodes, w1=noise(8, 2, 3), b1=noise(8), w2=noise(8, 5, 4))
    flat = same_numbers(model, {"x": noise(3, 4, 21)})
    assert [node.op_type for node in flat.graph.node] == [
        *("Unsqueeze", "Conv", "LeakyRelu", "ConvTranspose", "Squeeze")
    ]


def test_residuals_stay_inside_and_other_readers_get_their_three_axes() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], name="a", pads=[1, 1]),
        helper.make_node("Add", ["a", "x"], ["b"], name="b"),
        helper.make_node("Mul", ["b", "half"], ["c"], name="c"),
        helper.make_node("Mul", ["c", "per_channel"], ["d"], name="d"),
        helper.make_node("ReduceMean", ["c"], ["m"], name="m", axes=[2]),
        helper.make_node("Sub", ["d", "m"], ["y"], name="y"),
    ]
    model = network(nodes, w1=noise(4, 4, 3), half=np.float32(0.5), per_channel=noise(1, 4, 1))
    flat = same_numbers(model, {"x": noise(2, 4, 16)})
    made = [(node.op_type, *node.output) for node in flat.graph.node if node.op_type.endswith("queeze")]
    assert made == [("Unsqueeze", "x_2d"), ("Squeeze", "c"), ("Unsqueeze", "m_2d"), ("Squeeze", "y")]


def test_networks_without_1d_convolutions_come_back_as_they_are() -> None:
    model = network([helper.make_node("Relu", ["x"], ["y"], name="y")])
    assert convolutions_in_2d(model) is model


def test_a_shared_weight_is_raised_once() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="a", pads=[1, 1]),
        helper.make_node("Conv", ["a", "w"], ["y"], name="y", pads=[1, 1]),
    ]
    same_numbers(network(nodes, w=noise(4, 4, 3)), {"x": noise(1, 4, 9)})


def test_a_weight_that_others_read_is_left_alone() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="a", pads=[1, 1]),
        helper.make_node("ReduceSum", ["w"], ["s"], name="s", keepdims=0),
        helper.make_node("Mul", ["a", "s"], ["y"], name="y"),
    ]
    model = network(nodes, w=noise(4, 4, 3))
    assert convolutions_in_2d(model) is model


@pytest.mark.skipif(not is_installed("tensorrt_rtx"), reason="tensorrt_rtx is not installed")
def test_a_library_of_the_family_builds_it() -> None:
    flat = convolutions_in_2d(conv_net(quantized=True))
    made = build(
        prepare(flat), profiles=[PROFILE], config=BuildConfig(precision="int8"), flavor="tensorrt_rtx"
    )
    assert made.manifest.layer_precisions is not None
    assert made.manifest.layer_precisions["int8"] >= 1
