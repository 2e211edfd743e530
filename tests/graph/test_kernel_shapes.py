"""Kernel shapes that a network leaves to be read off its weights."""

import numpy as np
import onnx

from tests.engine.networks import conv_net
from trtforge.graph import convolutions_in_2d, state_kernel_shapes
from trtforge.runtime import OnnxRunner


def kernel_shapes(model):
    return [
        [onnx.helper.get_attribute_value(item) for item in node.attribute if item.name == "kernel_shape"]
        for node in model.graph.node
        if node.op_type == "Conv"
    ]


def test_they_are_written_down_where_weights_are_dequantized():
    model = conv_net(quantized=True)
    stated = state_kernel_shapes(model)
    assert kernel_shapes(model) == [[], []]
    assert kernel_shapes(stated) == [[[3]], []]
    onnx.checker.check_model(stated, full_check=True)
    assert state_kernel_shapes(stated) is stated


def test_convolutions_in_2d_keep_them_and_the_numbers():
    model = conv_net(quantized=True)
    lifted = convolutions_in_2d(state_kernel_shapes(model))
    assert kernel_shapes(lifted) == [[[1, 3]], []]
    mel = np.random.default_rng(0).uniform(-4, 4, (2, 4, 32)).astype(np.float32)
    with OnnxRunner(model) as before, OnnxRunner(lifted) as after:
        np.testing.assert_allclose(
            after.run({"mel": mel})["logits"], before.run({"mel": mel})["logits"], atol=1e-5
        )
