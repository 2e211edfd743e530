"""Small networks whose activations are exact in floating point, whatever the batch."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def network(nodes, inputs, outputs, weights=None):
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def convolutions(frames="frames"):
    """Convolution of stride 2, ReLU, transposition, a product with itself over time, and a mean over time."""
    rng = np.random.default_rng(0)
    first = rng.integers(-2, 3, size=(6, 4, 3)).astype(np.float32)
    return network(
        [
            helper.make_node("Conv", ["mel", "first"], ["conv"], strides=[2], pads=[1, 1]),
            helper.make_node("Relu", ["conv"], ["relu"]),
            helper.make_node("Transpose", ["relu"], ["rows"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["rows", "relu"], ["scores"]),
            helper.make_node("Reshape", ["rows", "flat_shape"], ["flat"]),
            helper.make_node("ReduceMean", ["relu"], ["mean"], axes=[2], keepdims=0),
            helper.make_node("Log", ["mean"], ["log"]),
        ],
        {"mel": ["batch", 4, frames]},
        ["log", "scores", "flat"],
        {"first": first, "flat_shape": np.array([-1, 6], np.int64)},
    )


def with_outputs(model, names):
    """Copy a network with intermediate results added to its outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    present = {value.name for value in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    return copy


def clip(seed, num_frames):
    """float32 [4, num_frames] of small integers."""
    return np.random.default_rng(seed).integers(-8, 9, size=(4, num_frames)).astype(np.float32)
