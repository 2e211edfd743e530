"""Batches and lengths as ``trtforge build`` takes them, for networks that fix some of their axes."""

import onnx
import pytest
from onnx import TensorProto, helper

from trtforge.cli import main
from trtforge.engine import load_manifest
from trtforge.profiles import plan_buckets

rtx = pytest.importorskip("tensorrt_rtx")


@pytest.fixture
def build(tmp_path, capsys):
    def run(shape, *words):
        values = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y"))
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", *([v] for v in values))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, str(tmp_path / "net.onnx"))
        words = ["build", tmp_path / "net.onnx", "-o", tmp_path / "net.plan", *words]
        status = main([*map(str, words), "--flavor", "tensorrt_rtx"])
        return status, " ".join(capsys.readouterr().err.split())

    return run


@pytest.mark.parametrize(
    ("shape", "words", "message"),
    [
        ((1, 3, 64), ["--max-batch", 4], "--max-batch 4 has no effect: the network fixes its batch (x: "),
        ((1, 3, "t"), ["--frames", 8, 9, "--max-batch", 4], "--max-batch 4 has no effect"),
        ((1, 3, 64), ["--frames", 8, 9], "--frames has no effect: the network fixes every length"),
        (("b", 3, 64), ["--frames", 64, 65], "--frames has no effect: the network fixes every length"),
        (("b", 3, 64), ["--clips", "clips"], "--clips has no effect: the network fixes every length"),
        (("b", 3, 64), ["--profiles", "plan.json"], "--profiles has no effect"),
        (("b", 3, "t"), ["--profiles", "plan.json", "--max-batch", 4], "batch sizes are those of --profiles"),
        (("b", 3, "t"), ["--max-batch", 4], "and no profile was given"),
    ],
)  # fmt: skip
def test_what_would_have_no_effect_is_refused(build, tmp_path, shape, words, message):
    plan_buckets([64]).save(tmp_path / "plan.json")
    status, said = build(shape, *(tmp_path / word if word == "plan.json" else word for word in words))
    assert status == 2
    assert message in said
    assert not (tmp_path / "net.plan").exists()


@pytest.mark.parametrize(
    ("shape", "words", "wanted"),
    [
        ((1, 3, 64), [], None),
        ((1, 3, "t"), ["--frames", 8, 9], ((1, 3, 8), (1, 3, 9))),
        (("b", 3, 64), ["--frames", 64, 64, "--max-batch", 4], ((1, 3, 64), (4, 3, 64))),
        (("b", 3, 64), ["--max-batch", 4], ((1, 3, 64), (4, 3, 64))),
        (("b", 3), [], ((1, 3), (8, 3))),
        ((-1, 3, -1), ["--frames", 8, 9], ((1, 3, 8), (8, 3, 9))),
    ],
)
def test_what_is_dynamic_is_planned_for(build, tmp_path, shape, words, wanted):
    assert build(shape, *words) == (0, "")
    profiles = load_manifest(tmp_path / "net.plan").profiles
    found = [(profile.shapes["x"].min, profile.shapes["x"].max) for profile in profiles]
    assert found == ([] if wanted is None else [wanted])


def test_an_engine_of_any_name_is_explained(build, tmp_path, capsys):
    assert build((1, 3)) == (0, "")
    assert main(["inspect", str(tmp_path / "net.plan")]) == 0
    assert "tensorrt_rtx" in capsys.readouterr().out


def test_a_folder_in_the_way_is_found_before_the_build(build, tmp_path):
    (tmp_path / "net.plan").mkdir()
    status, said = build((1, 3))
    assert status == 2
    assert "a file is to be written, and this is a folder" in said
    assert not (tmp_path / "net.plan.json").exists()
