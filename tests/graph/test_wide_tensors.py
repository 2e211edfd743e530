"""Normalisation and its like, spelled out in small operators, on values that FP16 spoils."""

import numpy as np
import pytest

from tests.graph.networks import Net, build_rtx, check, feed, run, run_exactly, snr_db
from trtforge.graph import kept_float32, to_bfloat16, to_float16, widen_bfloat16

WIDTH = 32


def close(net: Net, made: str):
    """Follow it by a product, and make a network of it."""
    net.node("MatMul", [made, net.normal("weight", WIDTH, WIDTH)], "y")
    return net.model({"x": ["batch", "time", WIDTH]}, {"y": ["batch", "time", WIDTH]})


def layer_norm(epsilon: float, square: str, scaling: str):
    net = Net()
    x = net.node("Relu", ["x"], "before")
    centred = net.node("Sub", [x, net.node("ReduceMean", [x], "mean", axes=[-1])], "centred")
    if square == "Pow":
        squared = net.node("Pow", [centred, net.constant("two", np.float32(2))], "squared")
    else:
        squared = net.node("Mul", [centred, centred], "squared")
    variance = net.node("ReduceMean", [squared], "variance", axes=[-1])
    root = net.node(
        "Sqrt", [net.node("Add", [variance, net.constant("epsilon", np.float32(epsilon))], "safe")], "root"
    )
    if scaling == "Div":
        normed = net.node("Div", [centred, root], "normed")
    else:
        normed = net.node("Mul", [centred, net.node("Reciprocal", [root], "inverse")], "normed")
    return close(net, net.node("Mul", [normed, net.normal("gain", WIDTH)], "scaled"))


def rms_norm(epsilon: float):
    net = Net()
    x = net.node("Relu", ["x"], "before")
    mean = net.node("ReduceMean", [net.node("Mul", [x, x], "squared")], "power", axes=[-1])
    root = net.node(
        "Sqrt", [net.node("Add", [mean, net.constant("epsilon", np.float32(epsilon))], "safe")], "root"
    )
    return close(net, net.node("Div", [x, root], "normed"))


def unit_length(epsilon: float):
    net = Net()
    x = net.node("Relu", ["x"], "before")
    length = net.node("ReduceL2", [x], "length", axes=[-1])
    safe = net.node("Clip", [length, net.constant("epsilon", np.float32(epsilon))], "safe")
    return close(
        net,
        net.node(
            "Div", [x, net.node("Expand", [safe, net.constant("one", np.array([1]))], "wide")], "normed"
        ),
    )


def softmax():
    net = Net()
    x = net.node("Relu", ["x"], "before")
    peak = net.node("ReduceMax", [x], "peak", axes=[-1])
    power = net.node("Exp", [net.node("Sub", [x, peak], "below")], "power")
    total = net.node("ReduceSum", [power, net.constant("axes", np.array([-1]))], "total")
    return close(net, net.node("Div", [power, total], "normed"))


def gelu_by_tanh():
    net = Net()
    x = net.node("Relu", ["x"], "before")
    cube = net.node("Pow", [x, net.constant("three", np.float32(3))], "cube")
    inner = net.node(
        "Add", [x, net.node("Mul", [cube, net.constant("c", np.float32(0.044715))], "small")], "inner"
    )
    tanh = net.node(
        "Tanh", [net.node("Mul", [inner, net.constant("d", np.float32(0.79788))], "scaled")], "tanh"
    )
    return close(
        net,
        net.node("Mul", [x, net.node("Add", [tanh, net.constant("one", np.float32(1))], "gate")], "normed"),
    )


NORM = {"mean", "centred", "squared", "variance", "safe", "root", "normed"}
CASES = {
    "layer norm, 1e-12, large": (lambda: layer_norm(1e-12, "Pow", "Div"), 500.0, NORM),
    "layer norm, 1e-12, small": (lambda: layer_norm(1e-12, "Mul", "Div"), 2e-4, NORM),
    "layer norm, 1e-7, reciprocal": (lambda: layer_norm(1e-7, "Mul", "Reciprocal"), 1e-4, NORM | {"inverse"}),
    "RMS norm, 1e-6, large": (lambda: rms_norm(1e-6), 2000.0, {"squared", "power", "safe", "root", "normed"}),
    "RMS norm, 1e-6, small": (lambda: rms_norm(1e-6), 3e-4, {"squared", "power", "safe", "root", "normed"}),
    "unit length": (lambda: unit_length(1e-12), 1e4, {"length", "safe", "wide", "normed"}),
    "softmax": (softmax, 5.0, {"peak", "below", "power", "total", "normed"}),
    "GELU by tanh": (gelu_by_tanh, 20.0, {"cube", "small", "inner"}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_spelled_out_stays_in_float32(case):
    make, size, kept = CASES[case]
    model = make()
    half, wide = to_float16(model), to_bfloat16(model)
    arrays = {"x": np.float32(size) * feed(model)["x"]}
    expected = run(model, arrays)["y"]
    for typed in (half, wide):
        check(typed)
        assert set(kept_float32(typed)) == kept
    assert snr_db(expected, run_exactly(half, arrays)["y"]) > 50.0
    assert snr_db(expected, run(widen_bfloat16(wide), arrays)["y"]) > 38.0


@pytest.mark.parametrize("case", ["layer norm, 1e-12, large", "RMS norm, 1e-6, small", "unit length"])
def test_tensorrt_rtx_builds_it(case):
    model = CASES[case][0]()
    assert build_rtx(to_float16(model)) > 1000
    assert build_rtx(to_bfloat16(model)) > 1000


def test_the_reasons_say_what_was_recognised():
    kept = kept_float32(to_float16(layer_norm(1e-12, "Mul", "Div")))
    assert kept["centred"] == "it takes a mean off its own values"
    assert kept["squared"] == "it squares, which overflows from 256 on"
    assert kept["normed"] == "it computes with a sum, power or root, 'root'"
    assert kept["variance"] == "ReduceMean is computed in FP32"


def test_an_epsilon_that_half_precision_rounds_to_another_number_keeps_its_node_in_float32():
    for epsilon, lost in ((1e-5, False), (1e-7, True), (1e-12, True)):
        net = Net()
        y = net.node(
            "Relu", [net.node("Add", ["x", net.constant("epsilon", np.float32(epsilon))], "safe")], "r"
        )
        model = close(net, y)
        kept = {"safe": "FP16 cannot hold its constant 'epsilon'"} if lost else {}
        assert kept_float32(to_float16(model)) == kept
        assert kept_float32(to_bfloat16(model)) == {}


def test_a_plain_mean_and_products_of_two_tensors_do_not_spread():
    net = Net()
    mean = net.node("ReduceMean", ["x"], "mean", axes=[-1])
    gate = net.node("Sigmoid", [mean], "gate")
    model = close(net, net.node("Mul", ["x", gate], "gated"))
    assert set(kept_float32(to_float16(model))) == {"mean"}
