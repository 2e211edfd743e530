"""Infinities that a network writes by itself, as masks of attention are, are no faults of its activations."""

import numpy as np
import onnx.parser
import pytest

import trtforge
from tests.graph.networks import run, snr_db
from trtforge.errors import CalibrationError
from trtforge.graph import prepare, tensors_for_float16
from trtforge.graph.index import GraphIndex
from trtforge.graph.infinities import infinite_tensors

MASKS = {
    "chosen": "masked = Where (keep, scores, lowest)",
    "added": "mask = Where (keep, zero, lowest)\n masked = Add (scores, mask)",
    "filled": """size = Shape (scores)
        full = ConstantOfShape <value = float[1] {-1.0}> (size)
        mask = Where (keep, zero, full)
        masked = Add (scores, mask)""",
}

HEAD = """
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[batch, 16, 32] x, bool[batch, 16, 16] keep) => (float[batch, 16, 32] y) <float zero = {0}>
"""


def attention(mask: str) -> onnx.ModelProto:
    steps = f"""
        keys = Transpose <perm = [0, 2, 1]> (x)
        scores = MatMul (x, keys)
        {MASKS[mask]}
        shares = Softmax (masked)
        mixed = MatMul (shares, x)
        y = MatMul (mixed, weight)
    """
    model = onnx.parser.parse_model(HEAD + "{" + steps + "}")
    weight = np.random.default_rng(0).normal(scale=0.2, size=(32, 32)).astype(np.float32)
    constants = {"weight": weight, "lowest": np.array(-np.inf, np.float32)}
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(value, name) for name, value in constants.items()
    )
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape":
            node.attribute[0].t.CopyFrom(onnx.numpy_helper.from_array(np.array([-np.inf], np.float32)))
    return model


def feed(seed: int, first_kept: int = 1) -> dict[str, np.ndarray]:
    """Make a feed whose rows keep a share of the others, none at all where ``first_kept`` is 0."""
    random = np.random.default_rng(seed)
    keep = random.random((2, 16, 16)) < 0.5
    keep[:, :, 0] = first_kept
    keep[:, 0] = first_kept
    return {"x": random.normal(scale=0.5, size=(2, 16, 32)).astype(np.float32), "keep": keep}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("tensors", ["float16", "all", "cache"])
def test_masked_attention_is_observed(mask, tensors):
    model = attention(mask)
    feeds = [feed(seed) for seed in range(3)]
    observations = trtforge.observe(model, feeds, tensors=tensors)
    assert {"x", "scores", "mixed"} <= set(observations.tensors)
    assert "masked" not in observations.tensors
    typed = trtforge.lower(model, observations=observations) if tensors != "cache" else trtforge.lower(model)
    assert snr_db(run(model, feeds[0])["y"], run(typed, feeds[0])["y"]) > 60


@pytest.mark.parametrize("mask", MASKS)
def test_what_carries_a_mask_is_found_up_to_the_product(mask):
    found = infinite_tensors(GraphIndex(prepare(attention(mask)).graph))
    assert {"masked", "shares"} <= found
    assert found.isdisjoint({"keys", "scores", "mixed", "y"})
    assert found.isdisjoint(tensors_for_float16(prepare(attention(mask))))


def test_rows_that_are_masked_throughout_are_a_fault():
    with pytest.raises(CalibrationError, match="values of tensor 'mixed' are not finite"):
        trtforge.observe(attention("chosen"), [feed(0, first_kept=0)], tensors="float16")


def test_infinities_of_a_feed_are_a_fault():
    arrays = feed(0)
    arrays["x"][0, 3, 5] = np.inf
    with pytest.raises(CalibrationError, match="of input 'x' are not finite"):
        trtforge.observe(attention("chosen"), [arrays], tensors="float16")


BUCKETS = """
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[batch, time, 16] x) => (float[batch, time, 16] y)
        <int64 first = {0}, int64 step = {1}, int64 near = {2}, int64 axis = {1}, float width = {2.0}> {
        size = Shape (x)
        time = Gather (size, axis)
        places = Range (first, time, step)
        distance = Cast <to = 1> (places)
        share = Div (distance, width)
        log = Log (share)
        far = Cast <to = 7> (log)
        is_near = Less (places, near)
        bucket = Where (is_near, places, far)
        bias = Gather (table, bucket)
        h = Add (x, bias)
        y = MatMul (h, weight)
    }
"""


@pytest.mark.parametrize("tensors", ["float16", "all", "cache"])
def test_the_logarithm_of_no_distance_is_no_fault(tensors):
    model = onnx.parser.parse_model(BUCKETS)
    random = np.random.default_rng(0)
    for name, shape in {"table": (4, 16), "weight": (16, 16)}.items():
        value = random.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    feeds = [{"x": random.standard_normal((2, 9, 16)).astype(np.float32)}]
    observations = trtforge.observe(model, feeds, tensors=tensors)
    assert "h" in observations.tensors
    assert {"share", "log"}.isdisjoint(observations.tensors) == (tensors != "cache")
    assert "log" not in observations.tensors
