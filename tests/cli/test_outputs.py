"""No command writes over what it reads."""

from pathlib import Path

import pytest

from tests.bundled import MODEL
from trtforge.cli import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("bench net.onnx --int8 o -o o", "--int8 and --output are one file, o"),
        ("bench net.onnx --inputs o --html o", "--inputs and --html are one file, o"),
        ("lower net.onnx -o ./net.onnx", "MODEL and --output are one file, ./net.onnx"),
        ("lower net.onnx --observations o -o o", "--observations and --output are one file, o"),
        ("smooth net.onnx --calibration-set clips -o net.onnx", "MODEL and --output are one file, net.onnx"),
        ("quantize net.onnx --weights-only int8 -o net.onnx", "MODEL and --output are one file, net.onnx"),
        ("quantize net.onnx --scales o -o o", "--scales and --output are one file, o"),
        ("quantize net.onnx --scales s --assignment o -o o", "--assignment and --output are one file, o"),
        ("build net.onnx --precision float16 -o net.onnx", "MODEL and --output are one file, net.onnx"),
    ],
)
def test_what_is_read_is_not_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    content = MODEL.read_bytes()
    Path("net.onnx").write_bytes(content)
    Path("o").write_text("kept")
    assert main(words.split()) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert Path("net.onnx").read_bytes() == content
    assert Path("o").read_text() == "kept"
