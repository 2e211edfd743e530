import json

import pytest

from trtforge.errors import PluginMissingError
from trtforge.nvidia.layers import EngineLayer, count_types, layers_from_inspector, layers_from_log
from trtforge.nvidia.log import VendorLog

LAYER_LIST = """Layers:
Name: shapes, LayerType: shape_call, Inputs: [], Constants: [], Outputs: [], TacticName: , StreamId: 0
Name: q, LayerType: kgen, Inputs: [ { Name: x, Dimensions: [-1,4,-1], Datatype: Half, Format: (Linear) }], \
Constants: [], Outputs: [ { Name: xq, Dimensions: [-1,4,-1], Datatype: Int8, Format: (Linear) }]
Name: conv1, LayerType: correlation, Inputs: [ { Name: xq, Dimensions: [-1,4], Datatype: Int8, Format: a }], \
Constants: [ { Name: w, Dimensions: [8], Datatype: Int8, Format: b }], Outputs: [ { Name: c, Datatype: Float}]
Name: add, LayerType: kgen, Inputs: [ { Name: c, Datatype: Float, Format: a }, { Name: d, Datatype: Half }], \
Outputs: [ { Name: y, Datatype: Half, Format: (Linear) }], TacticName: b

I/O Tensors:
 Name: x, IOMode: Input, DataType: Half
"""


def test_layers_count_as_the_narrowest_type_that_they_read():
    assert count_types(layers_from_log(LAYER_LIST)) == {"int8": 1, "float16": 2}
    assert count_types(layers_from_log(None)) is None
    assert count_types(layers_from_log("Layers:\nsomething else")) is None


def test_the_layers_that_tensorrt_8_logs_are_counted():
    listed = """Engine Layer Information:
Layer(Reformat): Reformatting CopyNode for Input Tensor 0 to conv1, Tactic: 0x00000000000003e8, \
mel (Float[-1,80,1,-1]) -> Reformatted Input Tensor 0 to conv1 (Int8[-1,80:32,1,-1])
Layer(CaskConvolution): conv1 + relu1, Tactic: 0x7d5df1b3e7e0bf94, Reformatted Input Tensor 0 to conv1 \
(Int8[-1,80:32,1,-1]), Float(2) (Half[-1,320:8,1,-1]) -> relu1 (Int8[-1,320:32,1,-1])
Layer(Myelin): {ForeignNode[a...b]}, Tactic: 0x0000000000000000, relu1 (Half[-1,4]) -> z (Half[-1,4])
Layer(NoOp): only, Tactic: 0x0000000000000000,  -> y (Half[2])
Layer(CaskConvolution): head, Tactic: 12, relu1[Half(128,28,28)] -> logits[Float(128,28,28)]"""
    assert count_types(layers_from_log(listed)) == {"int8": 1, "float16": 1, "float32": 1}


def test_layers_keep_their_names_and_the_nodes_they_stem_from():
    line = (
        "Name: fc2_U84+fc1_U9_myl0_23, LayerType: gemm, Inputs: [ { Name: x, Datatype: Int8 }], "
        "Constants: [], Outputs: [ { Name: y, Datatype: Half }], StreamId: 0, "
        "Metadata: [ONNX Layer: fc2][ONNX Layer: w_dq]"
    )
    (layer,) = layers_from_log(f"Layers:\n{line}")
    assert layer == EngineLayer("fc2_U84+fc1_U9_myl0_23", "gemm", "int8", ("fc2", "w_dq"), holds="nothing")
    narrow = line.replace("[], O", "[ { Name: w, Datatype: Int4 }, { Name: s, Datatype: Half }], O")
    assert layers_from_log(f"Layers:\n{narrow}")[0].holds == "int4"
    told = "Layer(Myelin): {ForeignNode[a...b]}, Tactic: 0x0, x (Half[-1]) -> y (Half[-1])"
    assert layers_from_log(told) == (EngineLayer("{ForeignNode[a...b]}", "Myelin", None),)
    described = {"Name": "conv1 + relu1", "LayerType": "CaskConvolution", "Inputs": [{"Datatype": "Half"}]}
    read = layers_from_inspector(json.dumps({"Layers": [described | {"Metadata": "[ONNX Layer: conv1]"}]}))
    assert read == (EngineLayer("conv1 + relu1", "CaskConvolution", "float16", ("conv1",)),)
    told = {"Layers": [described | {"Constants": [{"Format/Datatype": "Int8"}]}]}
    assert layers_from_inspector(json.dumps(told))[0].holds == "int8"


def test_where_tensorrt_8_keeps_formats_back_weights_tell():
    def layer(**others):
        hidden = {"Name": "x", "Format/Datatype": "N/A due to dynamic shapes"}
        return {"Name": "l", "Inputs": [hidden], **others}

    layers = [
        layer(Weights={"Type": "Int8", "Count": 96}),
        layer(Weights={"Type": "Half", "Count": 96}),
        layer(LayerType="NoOp"),
    ]
    assert count_types(layers_from_inspector(json.dumps({"Layers": layers}))) == {"int8": 1, "float16": 1}


def test_the_inspector_is_read_in_the_words_of_every_version():
    def layer(*formats, key="Format/Datatype"):
        return {"Name": "l", "Inputs": [{"Name": "x", key: text} for text in formats]}

    layers = [
        layer("Row major linear FP32"),
        layer("Thirty-two wide channel vectorized row major Int8 format"),
        layer("Channel major FP16 format where channel % 8 == 0", "Row major linear FP32"),
        layer("Half", key="Datatype"),
        layer("Row major linear INT32"),
        layer(),
    ]
    assert count_types(layers_from_inspector(json.dumps({"Layers": layers}))) == {
        "int8": 1,
        "float16": 2,
        "float32": 1,
    }
    assert count_types(layers_from_inspector(json.dumps({"Layers": ["conv1", "conv2"]}))) is None


def test_the_reason_leaves_out_what_explains_nothing():
    noise = "Error Code 1: Cuda Runtime (cudaError 35: CUDA driver version is insufficient)"
    assert (
        VendorLog(errors=[noise, "Error Code 4: bad", noise, "Error Code 4: bad"]).reason
        == "Error Code 4: bad"
    )
    assert VendorLog(errors=[noise]).reason == noise
    assert VendorLog().reason == "the library gave no reason"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            "10: Could not find any implementation for node {ForeignNode[a...b]}.",
            "another optimization_level",
        ),
        ("no tactics to implement the operation within workspace limit.", "raise workspace_bytes"),
        (
            "API Usage Error (Unable to load library: libnvinfer_lean.so.8: cannot open",
            "exclude_lean_runtime",
        ),
        ("MyelinCheckException: graph_jit.cpp:278: CHECK(status == CUDA_SUCCESS) failed.", "leave refit out"),
        ("Error Code 2: OutOfMemory (Requested size was 8 bytes)", "free GPU memory"),
        (
            "Network has dynamic or shape inputs, but no optimization profile has been defined.",
            "plan_profiles",
        ),
    ],
)
def test_known_failures_carry_a_hint(error, words):
    assert words in VendorLog(errors=[error]).hint


@pytest.mark.parametrize(
    ("error", "layer"),
    [
        (
            "10: [optimizer.cpp::computeCosts::3869] Error Code 10: Internal Error (Could not find any "
            "implementation for node {ForeignNode[/a/Mul_q...b + c]}.)",
            "{ForeignNode[/a/Mul_q...b + c]}",
        ),
        (
            "Error Code 10: Internal Error (Could not find any implementation for node /conv1/Conv.)",
            "/conv1/Conv",
        ),
        ("Could not find any implementation for node conv1 due to insufficient workspace.", "conv1"),
        ("In node 5 with name: /x/Resize and operator: Resize (importResize): UNSUPPORTED_NODE", "/x/Resize"),
        (
            "4: [network.cpp] Error Code 4: Internal Error (classifier: kernel weights are missing)",
            "classifier",
        ),
        ("Network has dynamic or shape inputs, but no optimization profile has been defined.", None),
    ],
)
def test_the_layer_that_is_blamed_is_found(error, layer):
    log = VendorLog(errors=["Error Code 1: something before", error])
    assert log.layer(["x", "class", "classifier", "conv"]) == layer


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            "getPluginCreator could not find plugin: MyOp version: 1",
            "plugin MyOp version 1 is not registered",
        ),
        (
            "NonZero plugin creator version 1 was not found in plugin registry.",
            "plugin NonZero version 1 is not registered",
        ),
        ("IPluginCreator not found in Plugin Registry", "plugin Spare is not registered"),
        (
            'creator && "Plugin not found, are the plugin name, version, and namespace correct?"',
            "plugin Spare is not",
        ),
    ],
)
def test_a_missing_plugin_is_named(error, message):
    with pytest.raises(PluginMissingError, match=message):
        VendorLog(errors=[error]).raise_missing_plugin(operator="Spare")
    VendorLog(errors=["something else"]).raise_missing_plugin()
