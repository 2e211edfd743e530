"""Networks whose weights one file cannot hold; the bound is lowered, so that small ones are such."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import trtforge
from tests.graph.networks import build_rtx, feed, quartznet, run, snr_db
from trtforge import external_data
from trtforge.errors import ModelError
from trtforge.external_data import network_files, save_model
from trtforge.graph import describe, prepare, to_bfloat16, to_float16
from trtforge.model import load_model, model_digest
from trtforge.nvidia.large_networks import parse_network


@pytest.fixture
def small_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external_data, "MAX_BYTES", 10_000)


@pytest.mark.usefixtures("small_bound")
def test_weights_go_into_a_file_of_their_own_and_come_back(tmp_path: Path) -> None:
    model = quartznet()
    files = save_model(model, tmp_path / "net.onnx")
    assert [path.name for path in files] == ["net.onnx.data", "net.onnx"]
    assert (tmp_path / "net.onnx").stat().st_size < 10_000 < (tmp_path / "net.onnx.data").stat().st_size
    read = load_model(tmp_path / "net.onnx")
    assert [value.name for value in read.graph.initializer] == [w.name for w in model.graph.initializer]
    for before, after in zip(model.graph.initializer, read.graph.initializer, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(before), numpy_helper.to_array(after))
    assert read.metadata_props == model.metadata_props
    assert read.graph.node == model.graph.node


def test_one_file_is_enough_below_the_bound_and_an_old_second_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as bound:
        bound.setattr(external_data, "MAX_BYTES", 10_000)
        save_model(quartznet(), tmp_path / "net.onnx")
    assert save_model(quartznet(), tmp_path / "net.onnx") == (tmp_path / "net.onnx",)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    assert model_digest(load_model(tmp_path / "net.onnx")) == model_digest(quartznet())


def test_weights_of_another_network_are_left_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as bound:
        bound.setattr(external_data, "MAX_BYTES", 10_000)
        save_model(quartznet(), tmp_path / "net.onnx")
    (tmp_path / "net.onnx").rename(tmp_path / "fp32.onnx")
    model = load_model(tmp_path / "fp32.onnx")
    assert save_model(to_float16(prepare(model)), tmp_path / "net.onnx") == (tmp_path / "net.onnx",)
    assert model_digest(load_model(tmp_path / "fp32.onnx")) == model_digest(model)


@pytest.mark.usefixtures("small_bound")
def test_weights_that_are_not_stored_raw_are_written_too(tmp_path: Path) -> None:
    values = np.arange(4000, dtype=np.float32)
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4000], values.tolist())
    assert weight.float_data
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4000])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4000])],
        [weight],
    )
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "net.onnx")
    (read,) = load_model(tmp_path / "net.onnx").graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(read), values)


@pytest.mark.usefixtures("small_bound")
def test_typing_running_and_building_take_any_size(tmp_path: Path) -> None:
    save_model(quartznet(), tmp_path / "net.onnx")
    model = load_model(tmp_path / "net.onnx")
    arrays = feed(model)
    expected = run(model, arrays)["logits"]
    for typed, least in ((to_float16(prepare(model)), 50.0), (to_bfloat16(prepare(model)), 40.0)):
        paths = save_model(typed, tmp_path / "typed.onnx")
        assert len(paths) == 2
        read = load_model(paths[-1])
        assert describe(read).counts == describe(typed).counts
        with trtforge.OnnxRunner(read, num_threads=1) as runner:
            assert snr_db(expected, runner.run(arrays)["logits"]) > least
    trt = pytest.importorskip("tensorrt_rtx")
    logger = trt.Logger(trt.Logger.ERROR)
    network = trt.Builder(logger).create_network(0)
    assert parse_network(trt.OnnxParser(network, logger), read)
    assert (network.num_inputs, network.num_outputs) == (1, 1)
    assert build_rtx(read) > 10_000


@pytest.mark.usefixtures("small_bound")
def test_a_compilation_writes_both_files() -> None:
    files = network_files(to_float16(prepare(quartznet())), "out/asr.float16.onnx")
    assert [str(path) for path in files] == ["out/asr.float16.onnx.data", "out/asr.float16.onnx"]


@pytest.mark.usefixtures("small_bound")
def test_a_large_network_is_still_checked(tmp_path: Path) -> None:
    model = quartznet()
    model.graph.node[-1].input[0] = "nothing"
    save_model(model, tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=r"is not a valid ONNX network: .*nothing"):
        load_model(tmp_path / "net.onnx")
