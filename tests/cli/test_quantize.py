"""``trtforge quantize`` writes INT8 and FP8 from scales, and narrow weights without any."""

from pathlib import Path

import onnx
import pytest

from tests.graph.networks import max_scales, transformer_block
from trtforge.cli import main
from trtforge.graph import describe, prepare, tensors_to_observe
from trtforge.model import model_digest
from trtforge.scales import Scales


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
