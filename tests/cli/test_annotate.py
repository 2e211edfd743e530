"""``trtforge annotate`` writes what the other commands read."""

import json
from pathlib import Path

import onnx
import pytest

import trtforge
from tests.pipeline.test_annotating import network
from trtforge.cli import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    onnx.save(network(), tmp_path / "my.onnx")
    (tmp_path / "symbols.txt").write_text(" \né\n", encoding="utf-8")
    return tmp_path


def annotate(folder: Path, *words: str, model: str = "my.onnx") -> int:
    return main(["annotate", str(folder / model), "-o", str(folder / "asr.onnx"), *words])


def test_names_bands_and_stride_come_from_the_network(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert annotate(folder, "--hop-length", "200", "--symbols", str(folder / "symbols.txt")) == 0
    assert "scores: 2 symbols, blank 2, one for every 2 frames" in capsys.readouterr().out
    model = folder / "asr.onnx"
    assert trtforge.LogMel.for_model(model) == trtforge.LogMel(
        num_mels=40, hop_length=200, input_name="features"
    )
    assert trtforge.CtcDecoder.for_model(model) == trtforge.CtcDecoder((" ", "é"), 2, "scores", 2)
    # What it says of its input stays where only the output is told.
    (folder / "vocabulary.json").write_text(json.dumps({"b": 1, "a": 0, "<blank>": 2}))
    words = ("--symbols", str(folder / "vocabulary.json"), "--blank", "2", "--stride", "3")
    assert annotate(folder, *words, model="asr.onnx") == 0
    assert trtforge.LogMel.for_model(model).hop_length == 200
    assert trtforge.CtcDecoder.for_model(model) == trtforge.CtcDecoder(("a", "b", "<blank>"), 2, "scores", 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--blank", "1"), "--blank says nothing without --symbols"),
        (("--hop-length", "0"), "hop_length must be an integer from 1 to 65536, got 0"),
        (("--symbols", "symbols.txt", "--stride", "0"), "frames_per_output must be at least 1, got 0"),
        (("--symbols", "symbols.txt", "--output-name", "y"), "reads output 'y', the network has ['scores']"),
        (("--symbols", "gap.json"), "gap.json is no list of symbols"),
        (("--symbols", "my.onnx"), "my.onnx is not UTF-8 text"),
        (("--symbols", "one.json"), "reads [batch, time, 2], the network gives scores"),
    ],
)
def test_what_says_nothing_or_does_not_fit_is_refused(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    message: str,
) -> None:
    (folder / "gap.json").write_text('{"a": 0, "b": 2}')
    (folder / "one.json").write_text('["a"]')
    (folder / "my.onnx").write_bytes(network().SerializeToString() + bytes([0x1A, 0x01, 0xFF]))
    monkeypatch.chdir(folder)
    assert annotate(folder, *words) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (folder / "asr.onnx").exists()


def test_an_input_that_does_not_fit_is_told_before_the_output(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = network()
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    sizes[1].dim_param, sizes[2].dim_value = "T", 40
    onnx.save(model, folder / "my.onnx")
    assert annotate(folder, "--symbols", str(folder / "symbols.txt")) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "the network wants the frames before the bands: features: float32 [N, T, 40]" in said
    assert "hint export it with the bands before the frames" in said
