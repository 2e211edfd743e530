import numpy as np
import onnx
import pytest
from onnx import helper

from tests.graph.networks import Net, assert_same_outputs, check, image_net, quartznet, transformer_block
from trtforge.graph import prepare


def test_quartznet_is_left_with_what_computes():
    model = quartznet()
    before = model.SerializeToString()
    prepared = prepare(model)
    assert [node.op_type for node in prepared.graph.node] == (
        ["Conv", "Relu"] + ["Conv", "Relu", "Conv", "Add", "Relu"] * 2 + ["Conv", "Transpose"]
    )
    assert model.SerializeToString() == before
    check(prepared)
    assert_same_outputs(model, prepared)


@pytest.mark.parametrize("make", [quartznet, image_net, transformer_block])
def test_surviving_tensors_keep_their_names_and_preparing_twice_changes_nothing(make):
    model = make()
    prepared = prepare(model)
    names = {name for node in model.graph.node for name in node.output}
    assert {name for node in prepared.graph.node for name in node.output} <= names
    assert prepare(prepared).SerializeToString(deterministic=True) == prepared.SerializeToString(
        deterministic=True
    )
    assert_same_outputs(model, prepared)


def test_metadata_and_interface_stay():
    prepared = prepare(quartznet())
    assert {entry.key: entry.value for entry in prepared.metadata_props} == {"purpose": "test"}
    assert [value.name for value in prepared.graph.input] == ["mel"]
    assert [dim.dim_param or dim.dim_value for dim in prepared.graph.input[0].type.tensor_type.shape.dim] == [
        "batch",
        80,
        "frames",
    ]


def test_constants_are_no_longer_inputs():
    net = Net()
    net.node("Conv", ["x", net.normal("w", 4, 4, 3)], "y")
    model = net.model({"x": ["b", 4, "t"]}, {"y": ["b", 4, "u"]})
    model.graph.input.append(helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [4, 4, 3]))
    model.ir_version = 3
    prepared = prepare(model)
    assert [value.name for value in prepared.graph.input] == ["x"]
    assert prepared.ir_version == 4


def test_dead_branches_go():
    net = Net()
    net.node("Relu", ["x"], "y")
    net.node("Conv", ["x", net.normal("unread", 4, 4, 3)], "dead")
    prepared = prepare(net.model({"x": ["b", 4, "t"]}, {"y": ["b", 4, "t"]}))
    assert [node.op_type for node in prepared.graph.node] == ["Relu"]
    assert not prepared.graph.initializer


def test_external_data_is_prepared_once_loaded(tmp_path):
    model = quartznet()
    onnx.save(model, str(tmp_path / "m.onnx"), save_as_external_data=True, location="m.bin", size_threshold=0)
    loaded = onnx.load(str(tmp_path / "m.onnx"))
    np.testing.assert_equal(len(prepare(loaded).graph.node), 14)
