"""TensorRT-RTX 1.7 crashes on a computed scale before a convolution; the lint calls it an error."""

import subprocess
import sys

import numpy as np
import pytest

from trtforge.graph import lint

CODE = """
import sys
import tensorrt_rtx as trt

logger = trt.Logger(trt.Logger.ERROR)
builder = trt.Builder(logger)
network = builder.create_network(0)
parser = trt.OnnxParser(network, logger)
if not parser.parse(sys.stdin.buffer.read()):
    sys.exit(3)
print("read", flush=True)
config = builder.create_builder_config()
config.num_compute_capabilities = 1
config.set_compute_capability(trt.ComputeCapability.SM89, 0)
sys.exit(4 if builder.build_serialized_network(network, config) is None else 0)
"""


def test_a_computed_scale_is_an_error_and_crashes_tensorrt_rtx() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    import onnx.parser

    model = onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["" : 19]>
        net (float[1, 16, 8, 8] x) => (float[1, 16, 8, 8] y) <int8 z = {0}> {
            size = Abs (x)
            scale = ReduceMax <keepdims = 0> (size)
            q = QuantizeLinear (x, scale, z)
            d = DequantizeLinear (q, scale, z)
            w_d = DequantizeLinear <axis = 0> (w, w_scale, w_zero)
            y = Conv <pads = [1, 1, 1, 1]> (d, w_d)
        }
    """)
    weight = {
        "w": np.ones((16, 16, 3, 3), np.int8),
        "w_scale": np.full(16, 0.01, np.float32),
        "w_zero": np.zeros(16, np.int8),
    }
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(value, name) for name, value in weight.items()
    )
    assert [finding.rule for finding in lint(model)][:2] == ["computed-scale", "computed-scale"]
    done = subprocess.run(
        [sys.executable, "-c", CODE], input=model.SerializeToString(), capture_output=True, check=False
    )
    if not trt.__version__.startswith("1.7."):
        pytest.skip(f"TensorRT-RTX {trt.__version__} may have mended it: status {done.returncode}")
    assert done.returncode == -11
