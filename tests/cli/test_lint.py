"""``trtforge lint`` says what does not suit a library, and by its status whether it would build."""

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

import trtforge
from tests.graph.linting.test_linting import WEIGHT, between, spoilt
from trtforge.cli import main, make_parser
from trtforge.errors import ConfigError, ModelError


def run(capsys: pytest.CaptureFixture[str], path: Path, *words: str) -> tuple[int, str, str]:
    status = main(["lint", str(path), *words])
    out, err = capsys.readouterr()
    return status, " ".join(out.split()), " ".join(err.split())


def test_a_warning_is_explained_and_ends_well(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    onnx.save(between(("Relu",), ("Mul", 1.0)), tmp_path / "net.onnx")
    status, out, _ = run(capsys, tmp_path / "net.onnx", "--for", "tensorrt-rtx", "1.7")
    assert status == 0
    assert "warning stray-operator 'n1', a Mul, stands before quantizer 'n1.q'" in out
    assert "remedy it changes nothing; trtforge.graph.prepare removes it" in out
    assert "0 errors, 1 warnings for tensorrt_rtx 1.7" in out


def test_a_release_stands_for_its_first_version(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    onnx.save(spoilt(), tmp_path / "net.onnx")
    said = {
        version: run(capsys, tmp_path / "net.onnx", "--for", "tensorrt", version)
        for version in ("11", "11.0")
    }
    assert said["11"] == said["11.0"]
    assert "for tensorrt 11.0" in said["11"][1]


def test_an_error_ends_with_status_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    onnx.save(spoilt(x={"zero_point": 3}), tmp_path / "net.onnx")
    status, out, _ = run(capsys, tmp_path / "net.onnx", "--for", "tensorrt", "8.6.0")
    assert status == 1
    assert "error opset the network uses opset 19, and tensorrt 8.6.0 reads up to 17" in out
    assert "error zero-point the zero point of 'x.q' is not 0, and TensorRT quantizes symmetrically" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tensorflow", "2.0"), "library must be 'tensorrt' or 'tensorrt_rtx', got 'tensorflow'"),
        (("tensorrt", "ten"), "version must be numbers with points between, such as 8.6, got 'ten'"),
        (("tensorrt", "9.0"), "tensorrt 9.0 is not supported; trtforge knows tensorrt 8.6, 10.x, 11.x"),
    ],
)
def test_an_unknown_library_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, str], said: str
) -> None:
    onnx.save(spoilt(), tmp_path / "net.onnx")
    status, _, err = run(capsys, tmp_path / "net.onnx", "--for", *words)
    assert status == 2
    assert said in err


def test_remedies_name_options_and_findings_alike_are_counted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = spoilt()
    for constant in model.graph.initializer:
        if constant.data_type == onnx.TensorProto.FLOAT and constant.name.endswith(".s"):
            half = numpy_helper.to_array(constant).astype(np.float16)
            constant.CopyFrom(numpy_helper.from_array(half, constant.name))
        elif constant.name == "w":
            constant.CopyFrom(numpy_helper.from_array(WEIGHT.astype(np.float16), "w"))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(model, tmp_path / "net.onnx")
    status, out, _ = run(capsys, tmp_path / "net.onnx", "--for", "tensorrt", "8.6")
    assert status == 1
    assert (
        "error half-scale the scale of 'x.q' is FP16, and tensorrt 8.6 takes FP32 scales alone "
        "and 3 more like it: 'x.d', 'w.q', 'w.d' remedy quantize with --rest float32 "
    ) in out
    assert (
        "reads up to 17 remedy quantize with --rest float32, which keeps the opset of the export; that one "
        "must be 17 or lower"
    ) in out
    assert "5 errors, 0 warnings for tensorrt 8.6" in out
    assert make_parser("quantize").parse_args(
        ["quantize", "x", "--scales", "s", "-o", "y", "--rest", "float32"]
    )


def test_a_network_without_quantizers_does_not_pass(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    network = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 17]> net (float[2] x) => (float[2] y) { y = Relu (x) }'
    )
    onnx.save(network, tmp_path / "net.onnx")
    status, out, err = run(capsys, tmp_path / "net.onnx", "--for", "tensorrt", "8.6")
    assert (status, out) == (2, "")
    assert err == (
        "error model the network has no Q/DQ pairs: nothing to lint "
        "hint name the quantized network, such as trtforge quantize writes it"
    )
    network.opset_import[0].version = 19
    with pytest.raises(ModelError, match="the network has no Q/DQ pairs: nothing to lint"):
        trtforge.lint(network, library="tensorrt", version="8.6")


def test_in_python_the_installed_library_is_meant_unless_another_is_named() -> None:
    assert trtforge.lint(spoilt()) == ()
    found = trtforge.lint(spoilt(), library="tensorrt", version="8.6")
    assert [finding.rule for finding in found] == ["opset"]
    with pytest.raises(ConfigError, match="library is 'tensorrt' and version is None: give both or neither"):
        trtforge.lint(spoilt(), library="tensorrt")
