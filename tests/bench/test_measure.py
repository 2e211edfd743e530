from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.bench.made import small_network
from tests.bundled import MODEL, TEST_SET, some_clips
from trtforge.bench import BenchConfig, Case, Subject, default_contenders, merge, run_bench
from trtforge.bench.contenders import select_contenders
from trtforge.bench.member import engine_profiles
from trtforge.errors import ConfigError
from trtforge.model import TensorSpec

QUICK = BenchConfig(rounds=2, latency_s=0.02, burst_s=0.02, settle_s=0.05, num_threads=1)
MEL = TensorSpec("mel", "float32", ("batch", 80, "frames"))


def test_contenders_take_turns_and_those_that_lack_something_are_named(tmp_path: Path) -> None:
    said: list[str] = []
    steps: list[tuple[int, int]] = []
    result = run_bench(
        [Subject("small", small_network(tmp_path), (Case(1, 30), Case(2, 30)))],
        select_contenders(["onnxruntime-fp32", "onnxruntime-int8", "torch-eager-fp32"]),
        QUICK,
        note=said.append,
        on_progress=lambda done, total: steps.append((done, total)),
    )
    about = {row["contender"]: row for row in result["contenders"]}
    assert about["onnxruntime-fp32"]["accuracy"]["snr_db"] == {"hidden": None}  # identical
    assert about["onnxruntime-fp32"]["accuracy"]["argmax_agreement"] == {"hidden": 1.0}
    assert about["onnxruntime-int8"]["left_out"].startswith("needs a quantized network")
    assert about["torch-eager-fp32"]["left_out"].startswith("needs a function that makes the PyTorch module")
    assert [(row["batch"], row["contender"]) for row in result["rows"]] == [
        (1, "onnxruntime-fp32"),
        (2, "onnxruntime-fp32"),
    ]
    for row in result["rows"]:
        assert len(row["rows_per_s"]["rounds"]) == 2
        assert 0 < row["wall_ms"]["p50"] <= row["wall_ms"]["p99"]
        assert row["rtfx"] == pytest.approx(0.3 * row["rows_per_s"]["median"], rel=1e-3)
        assert row["past_cache"]
    assert result["networks"][0]["num_parameters"] == 80 * 4 * 3 + 4 + 4 * 4 * 3 + 4
    assert "small, batch 2: 2 rounds" in said
    assert steps[-1][0] <= steps[-1][1]


def test_a_contender_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    subject = Subject("small", small_network(tmp_path), (Case(1, 30),), quantized=broken)
    result = run_bench([subject], select_contenders(["onnxruntime-int8", "onnxruntime-fp32"]), QUICK)
    assert "broken.onnx is not an ONNX file" in result["contenders"][0]["failed"]
    assert [row["contender"] for row in result["rows"]] == ["onnxruntime-fp32"]


def test_a_run_that_is_cut_leaves_what_was_measured(tmp_path: Path) -> None:
    class CutError(Exception):
        pass

    kept: list[dict[str, Any]] = []

    def keep(part: dict[str, Any]) -> None:
        kept.append(part)
        if len(kept) == 2:
            raise CutError

    cases = (Case(1, 30), Case(2, 30), Case(4, 30))
    subject = Subject("small", small_network(tmp_path), cases, timed=cases[:2])
    chosen = select_contenders(["onnxruntime-fp32"])
    with pytest.raises(CutError):
        run_bench([subject], chosen, QUICK, on_part=keep)
    assert [[row["batch"] for row in part["rows"]] for part in kept] == [[1], [1, 2]]
    assert kept[0]["networks"][0]["network"] == kept[0]["contenders"][0]["network"] == "small"
    rest = run_bench([replace(subject, timed=cases[2:])], chosen, QUICK)
    assert [row["batch"] for row in merge([kept[1], rest])["rows"]] == [1, 2, 4]
    with pytest.raises(ConfigError, match=r"Case\(batch=9, frames=None\) is timed, and engines are"):
        replace(subject, timed=(Case(9),))


def test_word_errors_are_counted_on_clips_padded_to_the_longest_shape() -> None:
    clips = some_clips(TEST_SET, 3)
    subject = Subject("asr", MODEL, (Case(2, 1024),), clips=clips)
    result = run_bench([subject], select_contenders(["onnxruntime-fp32"]), QUICK)
    found = result["contenders"][0]["accuracy"]
    assert found["wer"]["words"] == sum(len(text.split()) for text in clips.texts().values())
    assert 0 < found["wer"]["rate"] < 1
    short = Subject("asr", MODEL, (Case(2, 64),), clips=clips)
    with pytest.raises(ConfigError, match=r"has \d+ frames, the longest case has 64"):
        run_bench([short], select_contenders(["onnxruntime-fp32"]), QUICK)


def test_profiles_of_engines_by_hand() -> None:
    cases = (Case(1, 100), Case(8, 100), Case(32, 100))
    each = engine_profiles((MEL,), cases, BenchConfig())
    assert [profile["mel"] for profile in each] == [[[batch, 80, 100]] * 3 for batch in (1, 8, 32)]
    (wide,) = engine_profiles((MEL,), cases, BenchConfig(profiles="wide"))
    assert wide["mel"] == [[1, 80, 100], [8, 80, 100], [32, 80, 100]]
    fixed = TensorSpec("x", "float32", (1, 3))
    assert engine_profiles((fixed,), (Case(1),), BenchConfig()) == []


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    path = small_network(tmp_path)
    subject = Subject("a", path, (Case(1, 10),))
    with pytest.raises(ConfigError, match="each of its own name"):
        run_bench([subject, subject])
    with pytest.raises(ConfigError, match="no shape to time"):
        Subject("a", path, ())
    with pytest.raises(ConfigError, match="no contender 'tensorflow'"):
        select_contenders(["tensorflow"])
    with pytest.raises(ConfigError, match="is dynamic, and no length was given"):
        Subject("a", path, (Case(1),)).input_rows(Case(1), (MEL,))
    ids = TensorSpec("ids", "int64", ("batch", 4))
    with pytest.raises(ConfigError, match="not of floating point"):
        Subject("a", path, (Case(1),)).input_rows(Case(1), (ids,))
    rows = Subject("a", path, (Case(1, 10),), rows=lambda case: {"mel": np.ones((1, 80, 10))})
    assert rows.input_rows(Case(1, 10), (MEL,))["mel"].sum() == 800
    with pytest.raises(
        ConfigError, match=r"rows gave mel \[1, 80, 10\] for .*, and the inputs are mel.*; ids"
    ):
        rows.input_rows(Case(1, 10), (MEL, ids))


def test_a_network_without_quantizers_is_not_timed_as_int8(tmp_path: Path) -> None:
    path = small_network(tmp_path)
    subject = Subject("small", path, (Case(1, 30),), quantized=path)
    result = run_bench([subject], select_contenders(["onnxruntime-int8"]), QUICK)
    assert result["contenders"][0]["failed"].endswith(
        "small.onnx has no quantizers, and would be timed as INT8"
    )
    with pytest.raises(ConfigError, match="small: the constructor must be MODULE:FUNCTION, got 'mine'"):
        replace(subject, constructor="mine")


def tiny_network(path: Path, *shapes: Sequence[int | str], kind: int = TensorProto.FLOAT) -> Path:
    """Write a network that gives back its inputs, x0 and so on."""
    ins = [helper.make_tensor_value_info(f"x{at}", kind, shape) for at, shape in enumerate(shapes)]
    outs = [helper.make_tensor_value_info(f"y{at}", kind, shape) for at, shape in enumerate(shapes)]
    nodes = [helper.make_node("Identity", [f"x{at}"], [f"y{at}"]) for at in range(len(shapes))]
    nodes = nodes or [helper.make_node("Constant", [], ["y"], value_float=1.0)]
    outs = outs or [helper.make_tensor_value_info("y", kind, [])]
    model = helper.make_model(helper.make_graph(nodes, "tiny", ins, outs), ir_version=8)
    model.opset_import[0].version = 17
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("shapes", "case", "message"),
    [
        ([], Case(1), "the network has no input"),
        ([[]], Case(1), r"input x0: float32 \[\] has no axis for the rows"),
        (
            [["n", 4], [80, 4]],
            Case(1),
            r"x1: float32 \[80, 4\] is fixed at 80 rows, and a batch of 1",
        ),
        (
            [["n", 80, 100]],
            Case(2, 50),
            r"50 frames were asked, and the last axes are fixed: x0",
        ),
    ],
)
def test_what_a_network_does_not_take_is_told_before_anything_is_timed(
    tmp_path: Path, shapes: list[list[int | str]], case: Case, message: str
) -> None:
    path = tiny_network(tmp_path / "tiny.onnx", *shapes)
    with pytest.raises(ConfigError, match=f"tiny: .*{message}"):
        run_bench([Subject("tiny", path, (case,))], select_contenders(["onnxruntime-fp32"]), QUICK)


def test_inputs_of_whole_numbers_and_of_two_kinds_are_taken_from_whoever_has_them(tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "ids.onnx", ["n", "t"], ["n"], kind=TensorProto.INT64)
    subject = Subject(
        "ids",
        path,
        (Case(2, 7),),
        rows=lambda case: {"x0": np.ones((3, case.frames), int), "x1": np.arange(3)},
    )
    assert engine_profiles(subject.specs()[0], subject.cases, QUICK) == [
        {"x0": [[2, 7]] * 3, "x1": [[2]] * 3}
    ]
    result = run_bench([subject], select_contenders(["onnxruntime-fp32"]), QUICK)
    (row,) = result["rows"]
    assert row["rows_per_s"]["median"] > 0
    assert result["contenders"][0]["accuracy"]["nonfinite"] == 0


def test_a_gpu_is_given_what_uses_it() -> None:
    assert all(contender.needs_gpu for contender in default_contenders(has_gpu=True))
    assert {contender.library for contender in default_contenders(has_gpu=False)} == {"torch", "onnxruntime"}
