"""TensorRT-RTX 1.7 does not build transposed convolutions in BF16; typed networks keep them in FP32."""

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


def in_bfloat16() -> onnx.ModelProto:
    model = upsampler()
    (weight,) = model.graph.initializer
    weight.CopyFrom(BFLOAT16.tensor(onnx.numpy_helper.to_array(weight), "weight"))
    (node,) = model.graph.node
    node.input[0], node.output[0] = "narrow", "made"
    last = helper.make_node("Cast", ["made"], ["y"], to=TensorProto.FLOAT)
    first = helper.make_node("Cast", ["x"], ["narrow"], to=TensorProto.BFLOAT16)
    node = onnx.NodeProto.FromString(node.SerializeToString())
    del model.graph.node[:]
    model.graph.node.extend([first, node, last])
    onnx.checker.check_model(model, full_check=True)
    return model


def test_the_library_builds_none_in_bfloat16():
    pytest.importorskip("tensorrt_rtx")
    with pytest.raises(AssertionError, match="TensorRT-RTX built nothing"):
        build_rtx(in_bfloat16())


def test_typed_networks_keep_them_in_float32_and_build():
    typed = to_bfloat16(upsampler())
    assert kept_float32(typed) == {"y": "TensorRT does not build ConvTranspose in BF16"}
    assert build_rtx(typed) > 1000
