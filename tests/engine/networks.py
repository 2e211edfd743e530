"""Small networks to build engines from."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
from onnx import TensorProto, helper, numpy_helper

from trtforge.profiles import OptimizationProfile

PROFILE = OptimizationProfile({"mel": ((1, 4, 8), (2, 4, 32), (4, 4, 64))})


def conv_net(dtype: str = "float32", *, quantized: bool = False, opset: int = 17) -> onnx.ModelProto:
    """Conv1d, ReLU, Conv1d on ``mel`` [batch, 4, frames]; with Q/DQ before the first convolution if asked."""
    element = TensorProto.FLOAT16 if dtype == "float16" else TensorProto.FLOAT
    random = np.random.default_rng(0)
    constants = {
        "w1": (random.standard_normal((8, 4, 3)) * 0.2).astype(dtype),
        "w2": (random.standard_normal((5, 8, 3)) * 0.2).astype(dtype),
        "b2": random.standard_normal(5).astype(dtype),
    }
    nodes = []
    if quantized:
        constants |= {
            "x_scale": np.array(4 / 127, dtype),
            "x_zero": np.array(0, np.int8),
            "w_scale": (np.abs(constants["w1"]).max((1, 2)) / 127).astype(dtype),
            "w_zero": np.zeros(8, np.int8),
        }
        for name, scale, zero, axis in (
            ("mel", "x_scale", "x_zero", {}),
            ("w1", "w_scale", "w_zero", {"axis": 0}),
        ):
            nodes.append(helper.make_node("QuantizeLinear", [name, scale, zero], [f"{name}_q"], **axis))
            nodes.append(
                helper.make_node("DequantizeLinear", [f"{name}_q", scale, zero], [f"{name}_dq"], **axis)
            )
    fed = ["mel_dq", "w1_dq"] if quantized else ["mel", "w1"]
    nodes += [
        helper.make_node("Conv", fed, ["c1"], name="conv1", pads=[1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["logits"], name="conv2", pads=[1, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "conv_net",
        [helper.make_tensor_value_info("mel", element, ["batch", 4, "frames"])],
        [helper.make_tensor_value_info("logits", element, ["batch", 5, "frames"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def one_op_net(op_type: str, *, domain: str = "", dtype: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """One operator from ``x`` [2, 4] to ``y`` of float32 [2, 4]."""
    node = helper.make_node(op_type, ["x"], ["y"], name="only", domain=domain)
    graph = helper.make_graph(
        [node],
        "one_op",
        [helper.make_tensor_value_info("x", dtype, [2, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 4])],
    )
    imports = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def reshaping_net() -> onnx.ModelProto:
    """Twice ``x`` [rows, 8] in the shape that the values of ``target`` int64 [2] say."""
    return onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        net (float[rows, 8] x, int64[2] target) => (float[a, b] y)
        <float two = {2.0}>
        { doubled = Mul(x, two)
          y = Reshape(doubled, target) }"""
    )


def dense_net() -> onnx.ModelProto:
    """Three products with ReLU between, ``mel`` [batch, 80, frames] to ``logits`` [batch, frames, 29]."""
    random = np.random.default_rng(0)
    shapes = {"w0": (80, 64), "w1": (64, 64), "w2": (64, 29)}
    weights = {name: random.standard_normal(shape).astype(np.float32) * 0.1 for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Transpose", ["mel"], ["rows"], name="rows", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["rows", "w0"], ["m0"], name="m0"),
        helper.make_node("Relu", ["m0"], ["r0"], name="r0"),
        helper.make_node("MatMul", ["r0", "w1"], ["m1"], name="m1"),
        helper.make_node("Relu", ["m1"], ["r1"], name="r1"),
        helper.make_node("MatMul", ["r1", "w2"], ["logits"], name="m2"),
    ]
    graph = helper.make_graph(
        nodes,
        "dense_net",
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["batch", 80, "frames"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "frames", 29])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def with_half_weights(model: onnx.ModelProto, *, is_listed: bool) -> onnx.ModelProto:
    """The network with each weight stored in FP16 and cast to FP32, as small files are made."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    casts = []
    for tensor in made.graph.initializer:
        half = numpy_helper.from_array(
            numpy_helper.to_array(tensor).astype(np.float16), f"{tensor.name}_half"
        )
        casts.append(helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))
        if is_listed:
            shape = list(half.dims)
            made.graph.input.append(helper.make_tensor_value_info(half.name, TensorProto.FLOAT16, shape))
        tensor.CopyFrom(half)
    nodes = [*casts, *made.graph.node]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    onnx.checker.check_model(made, full_check=True)
    return made
