"""TensorRT-RTX 1.7 does not build a few operators in BF16; typed networks keep them in FP32."""

import onnx
import pytest
from onnx import TensorProto, helper

from tests.graph.networks import Net, build_rtx
from trtforge.graph import kept_float32, to_bfloat16
from trtforge.graph.half_types import BFLOAT16


def upsampler() -> onnx.ModelProto:
    net = Net()
    net.node("ConvTranspose", ["x", net.normal("weight", 32, 16, 2)], "y", strides=[2])
    return net.model({"x": ["batch", 32, "time"]}, {"y": ["batch", 16, "twice"]}, opset=22, ir_version=10)


def activation(op_type: str) -> onnx.ModelProto:
    net = Net()
    net.node(op_type, ["x"], "y")
    return net.model({"x": ["batch", 32]}, {"y": ["batch", 32]}, opset=22, ir_version=10)


def recurrent() -> onnx.ModelProto:
    net = Net()
    weights = [net.normal("weight", 1, 48, 32), net.normal("recurrence", 1, 48, 16)]
    net.node("GRU", ["x", *weights], "y", hidden_size=16)
    return net.model({"x": ["time", "batch", 32]}, {"y": ["time", 1, "batch", 16]}, opset=22, ir_version=10)


MADE = {
    "ConvTranspose": upsampler,
    "GRU": recurrent,
    "HardSwish": lambda: activation("HardSwish"),
    "Mish": lambda: activation("Mish"),
}


def in_bfloat16(model: onnx.ModelProto) -> onnx.ModelProto:
    for weight in model.graph.initializer:
        weight.CopyFrom(BFLOAT16.tensor(onnx.numpy_helper.to_array(weight), weight.name))
    (node,) = model.graph.node
    node.input[0], node.output[0] = "narrow", "made"
    last = helper.make_node("Cast", ["made"], ["y"], to=TensorProto.FLOAT)
    first = helper.make_node("Cast", ["x"], ["narrow"], to=TensorProto.BFLOAT16)
    node = onnx.NodeProto.FromString(node.SerializeToString())
    del model.graph.node[:]
    model.graph.node.extend([first, node, last])
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.mark.parametrize(
    ("op_type", "reason"),
    [
        ("ConvTranspose", "TensorRT-RTX built nothing"),
        ("GRU", "must have same input types. But they are of types Float and BFloat16"),
        ("HardSwish", "Only FLOAT, HALF or INT8 input is supported"),
        ("Mish", "Only FLOAT32 or FLOAT16 input is supported"),
    ],
)
def test_the_library_builds_none_in_bfloat16(op_type, reason):
    pytest.importorskip("tensorrt_rtx")
    with pytest.raises(AssertionError, match=reason):
        build_rtx(in_bfloat16(MADE[op_type]()))


@pytest.mark.parametrize("op_type", MADE)
def test_typed_networks_keep_them_in_float32_and_build(op_type):
    typed = to_bfloat16(MADE[op_type]())
    assert kept_float32(typed) == {"y": f"TensorRT does not build {op_type} in BF16"}
    assert build_rtx(typed) > 1000
