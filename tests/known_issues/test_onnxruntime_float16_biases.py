"""ONNX Runtime quantizes biases by the product of two scales, which FP16 cannot hold; our sessions do not."""

import numpy as np
import onnx.parser
import pytest
from onnx import numpy_helper

import trtforge
from trtforge.accuracy.metrics import measure_output

onnxruntime = pytest.importorskip("onnxruntime")
CONVOLUTIONS = """
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[batch, 16, time] x) => (float[batch, 16, time] z) {
        y = Conv <pads = [1, 1]> (x, weight, bias)
        z = Conv <pads = [1, 1]> (y, weight)
    }
"""
PRODUCTS = """
    <ir_version: 8, opset_import: ["" : 17]>
    net (int64[batch] symbols) => (float[batch, 16] z) {
        x = Gather (table, symbols)
        y = Gemm (x, weight, bias)
        z = MatMul (y, weight)
    }
"""


def small(rng, *shape: int):
    return rng.normal(scale=0.01, size=shape).astype(np.float32)


@pytest.mark.parametrize("text", [CONVOLUTIONS, PRODUCTS])
def test_biases_are_added_as_they_are(text: str) -> None:
    rng = np.random.default_rng(0)
    model = onnx.parser.parse_model(text)
    is_convolution = text is CONVOLUTIONS
    constants = {"weight": small(rng, 16, 16, 3) if is_convolution else small(rng, 16, 16)}
    constants["bias"] = small(rng, 16)
    if not is_convolution:
        constants["table"] = small(rng, 50, 16)
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    feed = {"x": small(rng, 4, 16, 40)} if is_convolution else {"symbols": rng.integers(0, 50, 40)}
    quantized = trtforge.quantize(model, trtforge.calibrate(model, [feed], method="max"), rest="float16")
    with trtforge.OnnxRunner(model) as reference, trtforge.OnnxRunner(quantized) as candidate:
        wanted = reference.run(feed)["z"]
        assert measure_output(wanted, candidate.run(feed)["z"]).snr_db > 35
    (plain,) = onnxruntime.InferenceSession(quantized.SerializeToString()).run(None, feed)
    # Below 35 dB the bug is still there; without it, our option can go.
    assert measure_output(wanted, plain).snr_db < 35
