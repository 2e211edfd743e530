import json

import numpy as np
from onnx import TensorProto

from tests.graph.networks import Net, max_scales, quartznet, transformer_block
from trtforge.graph import describe, prepare, quantize_graph, tensors_to_observe, to_float16


def test_a_float32_network():
    summary = describe(prepare(quartznet(width=32, blocks=2)))
    weights = 32 * 80 * 11 + 4 * 32 * 32 * 7 + 29 * 32
    assert summary.num_parameters == weights + 5 * 32 + 29
    assert summary.parameter_bytes == 4 * summary.num_parameters
    assert summary.counts == {"float32": 6}
    assert summary.opset == 17
    assert [str(spec) for spec in summary.inputs] == ["mel: float32 [batch, 80, frames]"]
    assert [str(spec) for spec in summary.outputs] == ["logits: float32 [batch, steps, 29]"]
    assert (summary.num_quantizers, summary.num_dequantizers) == (0, 0)


def test_weights_behind_a_cast_are_counted():
    layer = describe(quartznet()).layers[0]
    assert (layer.name, layer.op_type, layer.precision, layer.num_parameters) == (
        "stem.conv",
        "Conv",
        "float32",
        32 * 80 * 11,
    )


def test_a_quantized_network():
    model = prepare(quartznet())
    scales = max_scales(model, tensors_to_observe(model))
    summary = describe(quantize_graph(model, scales, exclude=["classifier"]))
    assert summary.counts == {"int8": 5, "float16": 1}
    # One pair for each of five activations (the last skip is not needed), one dequantizer for each weight.
    assert (summary.num_quantizers, summary.num_dequantizers) == (5, 10)
    assert [layer.weight_dtype for layer in summary.layers] == ["int8"] * 5 + ["float16"]
    biases = 5 * 32 + 29
    assert summary.parameter_bytes == summary.num_parameters + 29 * 32 + biases
    assert json.loads(json.dumps(summary.to_json()))["counts"] == {"int8": 5, "float16": 1}


def test_attention_stays_half_and_has_no_parameters():
    model = prepare(transformer_block())
    summary = describe(quantize_graph(model, max_scales(model, tensors_to_observe(model))))
    assert summary.counts == {"int8": 6, "float16": 2}
    assert [layer.num_parameters for layer in summary.layers if layer.precision == "float16"] == [0, 0]


def test_int8_counts_through_changes_of_layout_and_needs_both_factors():
    net = Net()
    net.constant("scale", np.float32(0.01))
    net.constant("zero", np.int8(0))
    d = net.node(
        "DequantizeLinear", [net.node("QuantizeLinear", ["x", "scale", "zero"], "q"), "scale", "zero"], "d"
    )
    w = net.constant("w", net.rng.integers(-127, 127, (4, 16)).astype(np.int8))
    dw = net.node("DequantizeLinear", [w, "scale", "zero"], "dw")
    t = net.node("Transpose", [dw], "wt", perm=[1, 0])
    net.node("MatMul", [d, t], "both")
    net.node("MatMul", ["x", t], "weight_only")
    model = net.model({"x": ["b", 16]}, {"both": ["b", 4], "weight_only": ["b", 4]})
    both, weight_only = describe(model).layers
    assert (both.precision, both.weight_dtype, both.num_parameters) == ("int8", "int8", 64)
    assert (weight_only.precision, weight_only.weight_dtype) == ("float32", "int8")


def test_half_precision_layers():
    assert describe(to_float16(prepare(quartznet()))).counts == {"float16": 6}


def test_integer_constants_are_no_parameters():
    net = Net()
    net.node("Reshape", ["x", net.constant("shape", np.array([0, -1]))], "y")
    summary = describe(net.model({"x": (TensorProto.FLOAT, ["b", 2, 3])}, {"y": ["b", 6]}))
    assert (summary.num_parameters, summary.parameter_bytes, summary.layers) == (0, 0, ())
