"""Networks are read without being trusted."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from trtforge.errors import ModelError
from trtforge.model import (
    _BITS_PER_ELEMENT,
    _check_tensor,
    _digest_in_pieces,
    load_model,
    model_digest,
    model_inputs,
    model_metadata,
    model_outputs,
)


def small_model() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"key": "value"})
    return model


def save_external(folder: Path, location: str = "weights.bin", **fields: str) -> Path:
    model = small_model()
    weight = model.graph.initializer[0]
    data = weight.raw_data
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **fields}.items():
        weight.external_data.add(key=key, value=value)
    if not Path(location).is_absolute() and ".." not in location:
        (folder / location).write_bytes(data)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_a_model_tells_its_inputs_outputs_and_metadata(tmp_path: Path) -> None:
    onnx.save(small_model(), str(tmp_path / "m.onnx"))
    model = load_model(tmp_path / "m.onnx")
    assert [str(spec) for spec in model_inputs(model)] == ["x: float32 [batch, 4]"]
    assert [str(spec) for spec in model_outputs(model)] == ["y: float32 [batch, 3]"]
    assert model_metadata(model) == {"key": "value"}


def test_a_negative_size_is_a_dynamic_axis() -> None:
    model = small_model()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    assert [str(spec) for spec in model_inputs(model)] == ["x: float32 [?, 4]"]


def test_the_digest_is_of_the_content() -> None:
    model, changed = small_model(), small_model()
    assert model_digest(model) == model_digest(small_model())
    changed.graph.initializer[0].raw_data = bytes(48)
    assert model_digest(changed) != model_digest(model)


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    model = load_model(save_external(tmp_path))
    assert numpy_helper.to_array(model.graph.initializer[0])[3, 2] == 11
    assert model_digest(model) == model_digest(small_model())


def zip_bytes() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", "b")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an ONNX file: it is empty"),
        (b"this is text, not a network", "is not an ONNX file"),
        (b"\x08\x08", "is not an ONNX file: it holds no graph"),
        (pickle.dumps({"a": 1}), "zip or pickle archive, which may run code"),
        (zip_bytes(), "zip or pickle archive, which may run code"),
    ],
)
def test_what_is_not_onnx_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_model(path)


def test_what_is_no_path_is_refused() -> None:
    with pytest.raises(ModelError, match=r"onnx\.ModelProto, got int"):
        load_model(5)  # type: ignore[arg-type]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no ONNX file at .*absent\.onnx"):
        load_model(tmp_path / "absent.onnx")


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", ""])
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    if not location:
        path = save_external(tmp_path)
        path.write_bytes(path.read_bytes().replace(b"weights.bin", b"../eights.b"))
    else:
        path = save_external(tmp_path, location)
    with pytest.raises(ModelError, match="external data outside the model's folder"):
        load_model(path)


def test_external_data_through_a_link_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = tmp_path / "model"
    folder.mkdir()
    path = save_external(folder)
    (folder / "weights.bin").rename(outside / "weights.bin")
    (folder / "weights.bin").symlink_to(outside / "weights.bin")
    with pytest.raises(ModelError, match="through a link"):
        load_model(path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"offset": "-4"}, "wants bytes -4"),
        ({"length": "1000"}, "wants bytes 0 to 1000 of 'weights.bin', which has 48"),
        ({"length": "40"}, "needs 48 bytes, has 40"),
        ({"offset": "x"}, "malformed external data"),
    ],
)
def test_external_data_of_wrong_extent_is_refused(
    tmp_path: Path, fields: dict[str, str], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        load_model(save_external(tmp_path, **fields))


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ([1 << 60], "impossible dimensions"),
        ([4, -3], "impossible dimensions"),
        ([5, 3], "needs 60 bytes, has 48"),
    ],
)
def test_lying_dimensions_are_refused(tmp_path: Path, dims: list[int], message: str) -> None:
    model = small_model()
    weight = model.graph.initializer[0]
    del weight.dims[:]
    weight.dims.extend(dims)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=message):
        load_model(path)


@pytest.mark.parametrize(
    ("dtype", "num_bytes"),
    [
        ("FLOAT", 28),
        ("BOOL", 7),
        ("BFLOAT16", 14),
        ("FLOAT8E4M3FN", 7),
        ("FLOAT8E4M3FNUZ", 7),
        ("FLOAT8E5M2", 7),
        ("FLOAT8E5M2FNUZ", 7),
        ("FLOAT8E8M0", 7),
        ("FLOAT6E2M3", 6),
        ("FLOAT4E2M1", 4),
        ("UINT4", 4),
        ("INT4", 4),
        ("UINT2", 2),
        ("INT2", 2),
    ],
)
def test_seven_elements_take_their_packed_size(dtype, num_bytes, monkeypatch):
    if dtype not in TensorProto.DataType.keys():  # noqa: SIM118 - not a mapping
        pytest.skip(f"onnx {onnx.__version__} has no {dtype}")
    # Older releases of onnx map the small floats to this.
    monkeypatch.setattr(onnx.helper, "tensor_dtype_to_np_dtype", lambda _: np.dtype(np.float32))
    tensor = TensorProto(
        name="w", dims=[7], data_type=TensorProto.DataType.Value(dtype), raw_data=bytes(num_bytes)
    )
    _check_tensor(tensor, Path())
    tensor.raw_data = bytes(num_bytes + 1)
    with pytest.raises(ModelError, match=f"needs {num_bytes} bytes, has {num_bytes + 1}"):
        _check_tensor(tensor, Path())


def test_every_type_of_onnx_but_text_has_a_size():
    assert set(TensorProto.DataType.keys()) - _BITS_PER_ELEMENT.keys() == {"UNDEFINED", "STRING"}
    tensor = TensorProto(name="w", dims=[1], data_type=TensorProto.STRING, raw_data=bytes(8))
    with pytest.raises(ModelError, match="'w' of type STRING holds raw data, whose size is not defined"):
        _check_tensor(tensor, Path())


def test_digest_in_pieces_follows_structure_and_weights():
    def digest(value=1.0, op_type="Relu"):
        weight = numpy_helper.from_array(np.float32([value]), "w")
        graph = helper.make_graph([helper.make_node(op_type, ["w"], ["y"])], "g", [], [], [weight])
        return _digest_in_pieces(helper.make_model(graph))

    assert digest() == digest()
    assert len({digest(), digest(2.0), digest(op_type="Neg")}) == 3
