"""A network whose inner tensor is beyond FP16, and what a cast of everything makes of it."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.graph.networks import Net

WIDTH = 32


def overflowing() -> onnx.ModelProto:
    """Products around tensors of about 2e5, which are turned, and of which infinities would become NaN."""
    net = Net(3)
    x = net.node("MatMul", ["x", net.normal("first", WIDTH, WIDTH, std=WIDTH**-0.5)], "hidden")
    x = net.node("Relu", [x], "active")
    gain = net.constant("gain", np.float32(5e4) * np.eye(WIDTH, dtype=np.float32))
    x = net.node("Transpose", [net.node("MatMul", [x, gain], "loud")], "turned", perm=[0, 2, 1])
    # ONNX Runtime has no FP16 products on the CPU and keeps FP32 between them. Two nodes in a row that it has
    # in FP16 run in it.
    x = net.node("Concat", [net.node("Concat", [x, x], "joined", axis=1), x], "tripled", axis=1)
    nothing = net.node("Sub", [x, net.node("Relu", [x], "copy")], "nothing")
    x = net.node("Transpose", [net.node("Add", [x, nothing], "sum")], "straight", perm=[0, 2, 1])
    x = net.node("MatMul", [x, net.normal("second", 3 * WIDTH, WIDTH, std=2e-5)], "back")
    net.node("MatMul", [x, net.normal("third", WIDTH, WIDTH, std=WIDTH**-0.5)], "y")
    return net.model({"x": ["batch", "time", WIDTH]}, {"y": ["batch", "time", WIDTH]})


def cast_all(model: onnx.ModelProto) -> onnx.ModelProto:
    """Cast every FP32 tensor to FP16, whatever it holds."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    for tensor in half.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            with np.errstate(over="ignore"):
                narrow = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(narrow, tensor.name))
    outputs = {value.name for value in half.graph.output}
    inputs = {value.name for value in half.graph.input}
    nodes = []
    for node in half.graph.node:
        node.input[:] = [f"{name}.half" if name in inputs else name for name in node.input]
        node.output[:] = [f"{name}.half" if name in outputs else name for name in node.output]
        nodes.append(node)
    before = [helper.make_node("Cast", [name], [f"{name}.half"], to=TensorProto.FLOAT16) for name in inputs]
    after = [helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT) for name in outputs]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del half.graph.node[:]
    half.graph.node.extend([*before, *kept, *after])
    return half
