"""Outlier channels move from activations into weights, and the network stays what it was."""

import numpy as np
import onnx
import pytest

from tests.graph.networks import (
    Net,
    assert_same_outputs,
    build_rtx,
    feed,
    max_scales,
    run,
    snr_db,
    transformer_block,
)
from trtforge.errors import QuantizationError
from trtforge.graph import prepare, quantize_graph, tensors_to_observe
from trtforge.graph.smoothing import choose_smoothing, smooth_graph, smoothing_groups, weights_of


def gains(name="g"):
    values = np.ones(32, np.float32)
    values[[3, 17]] = 40.0
    return name, values


def norm_and_products(*, more=(), spelled_out=False, trans_b=0):
    """A normalisation with two outlier channels, before a MatMul and a Gemm of two axes."""
    net = Net()
    gain, shift = net.constant(*gains()), net.normal("s", 32)
    if spelled_out:
        net.node("Add", [net.node("Mul", ["x", gain], "scaled"), shift], "n")
    else:
        net.node("LayerNormalization", ["x", gain, shift], "n", axis=-1)
    net.node("MatMul", ["n", net.normal("w1", 32, 32)], "a")
    net.node("Gemm", ["n", net.normal("w2", 32, 32)], "b", transB=trans_b)
    net.node("Add", ["a", "b"], "y")
    for operator in more:
        net.node("Add", [net.node(operator, ["n"], "other"), "y"], "z")
    return net.model({"x": ["t", 32]}, {"z" if more else "y": ["t", 32]})


@pytest.mark.parametrize(("spelled_out", "trans_b"), [(False, 0), (False, 1), (True, 0)])
def test_a_normalisation_and_the_products_after_it_are_a_group(spelled_out, trans_b):
    (group,) = smoothing_groups(norm_and_products(spelled_out=spelled_out, trans_b=trans_b))
    assert (group.tensor, group.constants) == ("n", ("g", "s"))
    assert group.weights == (("w1", 0), ("w2", trans_b))


def test_a_tensor_that_others_read_is_none():
    assert smoothing_groups(norm_and_products(more=["Relu"])) == ()
    assert smoothing_groups(norm_and_products(), exclude=["a"]) == ()


@pytest.mark.parametrize("operator", ["Shape", "Size"])
def test_a_tensor_whose_size_others_read_is_a_group(operator):
    model = norm_and_products()
    model.graph.node.append(onnx.helper.make_node(operator, ["n"], ["sizes"]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("sizes", onnx.TensorProto.INT64, None))
    (group,) = smoothing_groups(model)
    assert group.weights == (("w1", 0), ("w2", 0))
    factors = np.random.default_rng(0).uniform(0.1, 10, 32).astype(np.float32)
    smoothed = smooth_graph(model, {"n": factors})
    assert [node.op_type for node in smoothed.graph.node][-1] == operator
    assert_same_outputs(model, smoothed, atol=1e-3)


@pytest.mark.parametrize(("spelled_out", "trans_b"), [(False, 0), (False, 1), (True, 1)])
def test_the_network_gives_the_same_numbers(spelled_out, trans_b):
    model = norm_and_products(spelled_out=spelled_out, trans_b=trans_b)
    factors = np.random.default_rng(0).uniform(0.1, 10, 32).astype(np.float32)
    smoothed = smooth_graph(model, {"n": factors})
    assert len(smoothed.graph.node) == len(model.graph.node)
    assert_same_outputs(model, smoothed, atol=1e-3)
    name, values = gains()
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in smoothed.graph.initializer}
    np.testing.assert_allclose(stored[name], values / factors, rtol=1e-6)


def test_constants_that_others_read_are_copied():
    net = Net()
    gain, shift = net.constant(*gains()), net.normal("s", 32)
    for made, read in (("n", "x"), ("m", "p")):
        net.node("LayerNormalization", [read, gain, shift], made, axis=-1)
        net.node("MatMul", [made, "w"], "p" if made == "n" else "y")
    net.normal("w", 32, 32)
    model = net.model({"x": ["t", 32]}, {"y": ["t", 32]})
    smoothed = smooth_graph(model, {"n": np.full(32, 2.0, np.float32)})
    assert_same_outputs(model, smoothed)
    assert {tensor.name for tensor in smoothed.graph.initializer} == {
        *("g", "s", "w"),
        *("g_smoothed", "s_smoothed", "w_smoothed"),
    }
    factors = np.full(32, 2.0, np.float32)
    both = smooth_graph(model, {"n": factors, "m": factors})
    assert_same_outputs(model, both)
    assert len(both.graph.initializer) == 6  # the old ones, which nothing reads any more, are gone


@pytest.mark.parametrize("gain_first", [False, True])
def test_a_gain_without_shift_is_a_group(gain_first):
    net = Net()
    gain = net.constant(*gains())
    net.node("Mul", [gain, "x"] if gain_first else ["x", gain], "n")
    net.node("MatMul", ["n", net.normal("w", 32, 32)], "y")
    model = net.model({"x": ["t", 32]}, {"y": ["t", 32]})
    (group,) = smoothing_groups(model)
    assert (group.tensor, group.constants, group.weights) == ("n", ("g",), (("w", 0),))
    factors = np.linspace(0.5, 4, 32, dtype=np.float32)
    smoothed = smooth_graph(model, {"n": factors})
    assert_same_outputs(model, smoothed, atol=1e-3)
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in smoothed.graph.initializer}
    np.testing.assert_allclose(stored["g"], gains()[1] / factors, rtol=1e-6)
    assert len(smoothed.graph.node) == 2


def test_factors_by_hand():
    rows = np.array([[8.0, 0.5], [-4.0, 0.25]], np.float32)
    weight = np.array([[0.5, 0.5], [2.0, -2.0]], np.float32)
    choice = choose_smoothing(rows, np.array([8.0, 0.5], np.float32), [weight], alphas=[0.5])
    # sqrt(8 / 0.5) = 4 and sqrt(0.5 / 2) = 0.5, over their geometric mean sqrt(2)
    np.testing.assert_allclose(choice.factors, np.array([4, 0.5]) / 2**0.5, rtol=1e-6)
    assert choice.alpha == 0.5
    assert choice.snr_after_db > choice.snr_before_db


def test_nothing_is_changed_where_nothing_is_gained():
    rng = np.random.default_rng(0)
    # One row of +1 and -1 is exact in INT8 as it is.
    rows = rng.choice([-1.0, 1.0], (64, 32)).astype(np.float32)
    weight = rng.integers(-127, 128, (32, 16)).astype(np.float32)
    weight[0] = 127
    choice = choose_smoothing(rows, np.ones(32, np.float32), [weight], alphas=[0.5])
    assert choice.alpha is None
    np.testing.assert_array_equal(choice.factors, 1)


def test_channels_of_zeros_keep_their_factor():
    rows = np.array([[8.0, 0.0]], np.float32)
    choice = choose_smoothing(rows, np.array([8.0, 0.0], np.float32), [np.eye(2, dtype=np.float32)])
    assert np.isfinite(choice.factors).all()
    assert choice.factors[1] == 1


@pytest.mark.parametrize("alphas", [[], [1.5], [0.5, -0.1]])
def test_a_strength_outside_0_to_1_is_an_error(alphas):
    with pytest.raises(
        QuantizationError, match="alphas must be numbers from 0 to 1, at least one, got"
    ) as caught:
        choose_smoothing(np.ones((1, 2)), np.ones(2), [np.ones((2, 2))], alphas=alphas)
    assert caught.value.settings == ("alphas",)


def test_a_tensor_that_cannot_be_smoothed_is_an_error():
    with pytest.raises(
        QuantizationError, match="'x' is no normalised tensor that products alone read"
    ) as caught:
        smooth_graph(norm_and_products(), {"x": np.ones(32, np.float32)})
    assert caught.value.hint == "these are: 'n'"
    with pytest.raises(QuantizationError, match="the factors of 'n' must be 32 positive numbers"):
        smooth_graph(norm_and_products(), {"n": np.zeros(32, np.float32)})


def with_outliers():
    """A transformer block whose normalisations have two channels forty times the others, as large ones do."""
    model = prepare(transformer_block())
    for tensor in model.graph.initializer:
        if tensor.name.endswith(".gamma"):
            values = onnx.numpy_helper.to_array(tensor).copy()
            values[[3, 17]] *= 40
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        if tensor.name in ("q.weight", "k.weight", "v.weight", "up.weight"):
            values = onnx.numpy_helper.to_array(tensor).copy()
            values[[3, 17]] /= 40
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    return model


def test_a_block_with_outlier_channels_gains_more_than_ten_decibels_and_builds():
    model = with_outliers()
    groups = smoothing_groups(model)
    assert [group.tensor for group in groups] == ["norm1", "norm2"]
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(onnx.ValueInfoProto(name=group.tensor) for group in groups)
    seen = run(watched, feed(model))
    factors = {}
    for group in groups:
        rows = seen[group.tensor].reshape(-1, 32)
        choice = choose_smoothing(rows, np.abs(rows).max(axis=0), weights_of(group, model))
        assert choice.snr_after_db > choice.snr_before_db + 10
        factors[group.tensor] = choice.factors
    smoothed = smooth_graph(model, factors)
    reference = run(model, feed(model))["y"]
    found = []
    for network in (model, smoothed):
        quantized = quantize_graph(network, max_scales(network, tensors_to_observe(network)))
        found.append(snr_db(reference, run(quantized, feed(model))["y"]))
    assert found[1] > found[0] + 10
    assert build_rtx(quantized) > 10_000


def normalised_before(*products, gain=32):
    """A normalisation of 32 channels before products that each read ``n``, given by their inputs."""
    net = Net()
    net.normal("w", 32, 32), net.normal("v", 32, 32)
    shape = np.ones(gain, np.float32), np.full(gain, 0.5, np.float32)
    net.node(
        "Add", [net.node("Mul", ["x", net.constant("g", shape[0])], "m"), net.constant("s", shape[1])], "n"
    )
    for position, (operator, inputs, attributes) in enumerate(products):
        net.node(operator, inputs, f"y{position}", **attributes)
    outputs = {f"y{position}": [32, 32] for position in range(len(products))}
    return net.model({"x": [32, 32]}, outputs)


@pytest.mark.parametrize(
    "products",
    [
        [("Gemm", ["x", "w", "n"], {})],
        [("Gemm", ["n", "w", "n"], {})],
        [("Gemm", ["n", "w", "w"], {})],
        [("MatMul", ["n", "w"], {}), ("Gemm", ["n", "w"], {"transB": 1})],
    ],
    ids=["as C", "as A and C", "weight as C too", "weight along both axes"],
)
def test_a_product_that_division_would_change_leaves_the_tensor_alone(products):
    assert smoothing_groups(normalised_before(*products)) == ()
    # Beside one that may be smoothed, too.
    assert smoothing_groups(normalised_before(*products, ("MatMul", ["n", "v"], {}))) == ()


def test_gain_and_shift_of_one_element_are_none_of_channels():
    product = ("MatMul", ["n", "w"], {})
    assert len(smoothing_groups(normalised_before(product))) == 1
    assert smoothing_groups(normalised_before(product, gain=1)) == ()


def test_one_constant_for_gain_and_shift_is_divided_once():
    net = Net()
    gain = net.constant(*gains())
    net.node("Add", [net.node("Mul", ["x", gain], "m"), gain], "n")
    net.node("MatMul", ["n", net.normal("w", 32, 32)], "y")
    model = net.model({"x": ["t", 32]}, {"y": ["t", 32]})
    (group,) = smoothing_groups(model)
    assert group.constants == ("g",)
    factors = np.linspace(0.5, 4, 32, dtype=np.float32)
    assert_same_outputs(model, smooth_graph(model, {"n": factors}), atol=1e-3)


def test_a_weight_that_is_not_finite_is_named():
    model = norm_and_products()
    tensor = next(item for item in model.graph.initializer if item.name == "w2")
    values = onnx.numpy_helper.to_array(tensor).copy()
    values[0, :2] = np.nan
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, "w2"))
    (group,) = smoothing_groups(model)
    with pytest.raises(
        QuantizationError, match="weight 'w2': 2 of 1024 values are NaN or infinite"
    ) as caught:
        weights_of(group, model)
    assert caught.value.hint == "train or export the network again, or leave the layer out with exclude"
