"""``trtforge quantize`` writes INT8 and FP8 from scales, and narrow weights without any."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.graph.networks import feed, max_scales, transformer_block
from tests.graph.overflowing import overflowing
from tests.graph.test_placement import nested
from trtforge.cli import main
from trtforge.graph import describe, kept_float32, prepare, tensors_to_observe
from trtforge.model import model_digest
from trtforge.pipeline import observe
from trtforge.scales import Scales, TensorScale


@pytest.fixture
def block(tmp_path: Path) -> Path:
    """A transformer block, and its scales beside it."""
    model = transformer_block(width=64)
    prepared = prepare(model)
    found = max_scales(prepared, tensors_to_observe(prepared, attention="int8"))
    scales = Scales(found.tensors, "max", model_digest(model), "0" * 64, 1)
    scales.save(tmp_path / "scales.json")
    onnx.save(model, tmp_path / "net.onnx")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        (("--scales", "scales.json"), {"int8": 6, "float16": 2}),
        (("--scales", "scales.json", "--attention", "int8"), {"int8": 8}),
        (("--scales", "scales.json", "--to", "float8"), {"float8e4m3fn": 6, "float16": 2}),
        (("--weights-only", "int4"), {"float16": 8}),
    ],
)
def test_what_is_asked_is_what_is_written(
    block: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], counts: dict[str, int]
) -> None:
    monkeypatch.chdir(block)
    assert main(["quantize", "net.onnx", *words, "-o", "out.onnx"]) == 0
    assert describe(onnx.load("out.onnx")).counts == counts


def test_blocks_that_are_not_offered_are_refused_with_the_option(
    block: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(block)
    assert main(["quantize", "net.onnx", "--weights-only", "int8", "--block-size", "48", "-o", "o.onnx"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "in blocks of 16, 32, 64 or 128" in said
    assert "option block_size: --block-size" in said
    assert "option dtype: --weights-only" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--weights-only", "int4", "--to", "float8"), "--to has no effect with --weights-only"),
        (("--weights-only", "int4", "--attention", "int8"), "--attention has no effect with --weights-only"),
        (
            ("--weights-only", "int4", "--keep-float", "last"),
            "--keep-float has no effect with --weights-only",
        ),
        (
            ("--weights-only", "int4", "--assignment", "a.json"),
            "--assignment has no effect with --weights-only",
        ),
        (("--scales", "scales.json", "--block-size", "32"), "--block-size has no effect with --scales"),
    ],
)
def test_an_option_without_effect_is_refused(
    block: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(block)
    assert main(["quantize", "net.onnx", *words, "-o", "out.onnx"]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not Path("out.onnx").exists()


def test_observations_count_for_weights_alone_and_brackets_in_paths_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = overflowing()
    onnx.save(model, "net.onnx")
    observe(model, [feed(model)], tensors="float16").save("seen.npz")
    words = ["--weights-only", "int8", "--block-size", "32", "--observations", "seen.npz"]
    assert main(["quantize", "net.onnx", *words, "-o", "net[v2].onnx"]) == 0
    assert kept_float32(onnx.load("net[v2].onnx"))["loud"].startswith("'loud' reaches")
    assert "network net[v2].onnx" in " ".join(capsys.readouterr().out.split())
    # The same words for the other command that types.
    assert main(["lower", "net.onnx", "-o", "half[v2].onnx"]) == 0
    assert "network half[v2].onnx" in " ".join(capsys.readouterr().out.split())


def test_what_the_layers_do_not_tell_is_said_below_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    model = nested()
    weight = model.graph.initializer[0]
    tiny = np.full((32, 32), 127 * 2.0**-25, np.float32)
    weight.CopyFrom(onnx.numpy_helper.from_array(tiny, weight.name))
    onnx.save(model, "net.onnx")
    ones = {"b": TensorScale(1.0, 1.0)}
    Scales(ones, "max", model_digest(model), "0" * 64, 1).save("scales.json")
    assert main(["quantize", "net.onnx", "--scales", "scales.json", "-o", "out.onnx"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "scale of w: 32 of 32 scales are larger than wanted, up to 2 times" in said
    assert "inside b.then_branch: 2 further layers" in said
