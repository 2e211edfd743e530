"""The commands, run as a user types them."""

import json
import shutil
from pathlib import Path

import onnx
import pytest

import trtforge
from tests.bundled import CALIBRATION_SET, MODEL, TEST_SET
from trtforge.cli import COMMANDS, main, make_parser
from trtforge.nvidia import gpus


def part_of(folder: Path, count: int, target: Path) -> Path:
    """Copy some clips of a bundled set."""
    target.mkdir()
    lines = (folder / "manifest.jsonl").read_text().splitlines()[:count]
    for line in lines:
        path = target / json.loads(line)["path"]
        path.parent.mkdir(exist_ok=True)
        shutil.copy(folder / json.loads(line)["path"], path)
    (target / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    return target


@pytest.fixture
def calibration_set(tmp_path: Path) -> Path:
    return part_of(CALIBRATION_SET, 6, tmp_path / "calibration")


@pytest.fixture
def test_set(tmp_path: Path) -> Path:
    return part_of(TEST_SET, 6, tmp_path / "test")


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return status, out, err


def test_lowering(capsys: pytest.CaptureFixture[str], tmp_path: Path, calibration_set: Path) -> None:
    seen, half = tmp_path / "seen.npz", tmp_path / "half.onnx"
    status, out, _ = run(
        capsys, "calibrate", MODEL, "--calibration-set", calibration_set, "-o", tmp_path / "scales.json",
        "--observe", "all", "--save-observations", seen, "--method", "max",
    )  # fmt: skip
    assert status == 0
    num_scales = len(json.loads((tmp_path / "scales.json").read_text())["tensors"])
    assert f"observations of {len(trtforge.Observations.load(seen).tensors)} tensors  {seen}" in out
    assert num_scales < len(trtforge.Observations.load(seen).tensors)
    status, out, _ = run(capsys, "lower", MODEL, "-o", half, "--observations", seen)
    assert status == 0
    assert "in float16" in out
    status, out, _ = run(
        capsys,
        "lower",
        MODEL,
        "-o",
        half,
        "--precision",
        "bfloat16",
        "--lower-io",
        "--keep-float32",
        "classifier*",
    )
    assert status == 0
    assert "1 in float32" in " ".join(out.split())
    assert "FP32: " in out
    assert ": asked for" in out
    assert onnx.load(half).graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16
    status, out, _ = run(
        capsys, "quantize", MODEL, "--scales", tmp_path / "scales.json", "-o", tmp_path / "qdq.onnx",
        "--observations", seen,
    )  # fmt: skip
    assert status == 0
    assert "in int8" in out
    status, _, err = run(
        capsys, "lower", MODEL, "-o", half, "--precision", "bfloat16", "--observations", seen
    )
    assert status == 2
    assert "observations have no effect on bfloat16" in err
    assert "option observations: --observations" in " ".join(err.split())


def test_each_stage_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, calibration_set: Path, test_set: Path
) -> None:
    scales, qdq, engine = tmp_path / "scales.json", tmp_path / "qdq.onnx", tmp_path / "asr.engine"
    status, out, _ = run(
        capsys, "calibrate", MODEL, "--calibration-set", calibration_set, "-o", scales,
        "--save-observations", tmp_path / "observations.npz",
    )  # fmt: skip
    assert status == 0
    assert "tensors on 6 clips, entropy" in out
    status, out, _ = run(capsys, "quantize", MODEL, "--scales", scales, "-o", qdq)
    assert status == 0
    assert "in int8" in out
    status, out, _ = run(capsys, "build", qdq, "--clips", test_set, "-o", engine, "--flavor", "tensorrt_rtx")
    assert status == 0
    assert "int8 engine of tensorrt_rtx" in " ".join(out.split())
    status, out, _ = run(
        capsys, "evaluate", MODEL, qdq, "--clips", test_set, "-o", tmp_path / "accuracy.json"
    )
    assert status == 0
    assert "asr_en.onnx" in out
    assert "qdq.onnx" in out
    for path, word in (
        (engine, "plan"),
        (tmp_path / "asr.engine.json", "plan"),
        (scales, "amax"),
        (qdq, "opset 19"),
        (tmp_path / "observations.npz", "percentile"),
        (tmp_path / "accuracy.json", "WER"),
    ):
        status, out, err = run(capsys, "inspect", path)
        assert (status, err) == (0, "")
        assert word in out


def test_compile_writes_the_report_and_keeps_to_a_budget(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, calibration_set: Path, test_set: Path
) -> None:
    sets = ("--calibration-set", calibration_set, "--evaluate", test_set)
    words = ("compile", MODEL, *sets, "-o", tmp_path / "out", "--flavor", "tensorrt_rtx")
    status, out, err = run(capsys, *words, "--max-wer-increase", "100")
    assert (status, err) == (0, "")
    assert "report.html" in out
    status, _, err = run(capsys, *words, "--max-wer-increase", "-100")
    assert status == 1
    assert "error accuracy" in " ".join(err.split())
    status, out, _ = run(capsys, "inspect", tmp_path / "out" / "report.json")
    assert status == 0
    assert "trtforge" in out


def test_a_corrupt_clip_is_left_out_and_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = part_of(CALIBRATION_SET, 12, tmp_path / "set")
    first = json.loads((folder / "manifest.jsonl").read_text().splitlines()[0])
    (folder / first["path"]).write_bytes(b"OggS but no more")
    status, _, err = run(
        capsys, "calibrate", MODEL, "--calibration-set", folder, "-o", tmp_path / "scales.json"
    )
    assert (status, err) == (0, "")
    record = json.loads((tmp_path / "scales.json").read_text())
    assert record["num_clips"] == 11
    assert list(record["rejected"]) == [first["id"]]
    assert "SHA-256" in record["rejected"][first["id"]]


def test_a_clip_that_drops_out_is_named_everywhere(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = part_of(TEST_SET, 12, tmp_path / "set")
    first = json.loads((folder / "manifest.jsonl").read_text().splitlines()[0])
    (folder / first["path"]).write_bytes(b"OggS but no more")
    status, out, _ = run(capsys, "evaluate", MODEL, "--clips", folder, "-o", tmp_path / "accuracy.json")
    assert status == 0
    assert f"left out: {first['id']}" in out
    assert list(json.loads((tmp_path / "accuracy.json").read_text())["rejected"]) == [first["id"]]
    status, out, _ = run(capsys, "inspect", folder)
    assert status == 0
    assert "11 clips" in out
    assert f"left out: {first['id']}" in " ".join(out.split())


def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a network")
    return path


def deep_json(tmp_path: Path) -> Path:
    path = tmp_path / "deep.json"
    path.write_text("[" * 200_000)
    return path


def empty_set(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "manifest.jsonl").write_text("")
    return folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("compile", MODEL, "--calibration-set", "nowhere", "-o", "out"), "nowhere"),
        (("compile", MODEL, "--calibration-set", empty_set, "-o", "out"), "empty"),
        (("compile", MODEL, "-o", "out"), "int8 needs clips to calibrate on"),
        (("compile", broken, "--calibration-set", CALIBRATION_SET, "-o", "out"), "is not an ONNX file"),
        (("quantize", MODEL, "--scales", MODEL, "-o", "out"), "is no scales file"),
        (("build", MODEL, "-o", "out.engine", "--flavor", "tensorrt_rtx"), "no profile was given"),
        (("inspect", "nothing.engine"), "no file at nothing.engine"),
        (
            ("build", MODEL, "-o", "out.engine", "--frames", "200", "100"),
            "--frames wants MIN and MAX in this order, got 200 and 100",
        ),
        (("inspect", deep_json), "is no JSON file"),
        (("quantize", MODEL, "--scales", ".", "-o", "out"), "is no scales file"),
        (("evaluate", MODEL, MODEL, "--clips", TEST_SET), "a file was given twice"),
    ],
)
def test_errors_say_what_is_wrong(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[object, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capsys, *(word(tmp_path) if callable(word) else word for word in words))
    assert status == 2
    assert message in " ".join(err.split())
    assert "Traceback" not in err


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    status, out, err = run(
        capsys, "compile", MODEL, "--calibration-set", CALIBRATION_SET, "-o", tmp_path / "file" / "out",
        "--flavor", "tensorrt_rtx",
    )  # fmt: skip
    assert status == 2
    assert "a file cannot be read or written" in " ".join(err.split())
    assert out == ""


def test_names_that_look_like_markup_are_shown_as_they_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = onnx.load(MODEL)
    model.graph.node[1].name = "[/x] [bold]enc"
    onnx.save(model, str(tmp_path / "odd.onnx"))
    status, out, _ = run(capsys, "inspect", tmp_path / "odd.onnx")
    assert status == 0
    assert "[/x] [bold]enc" in out


def test_a_calibration_cache_is_explained(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "asr.cache").write_text("TRT-8600-EntropyCalibration2\nmel: 3c010a14\nconv_out: 3f800000\n")
    status, out, _ = run(capsys, "inspect", tmp_path / "asr.cache")
    assert status == 0
    out = " ".join(out.split())
    assert "calibration cache TRT-8600-EntropyCalibration2: 2 tensors, entropy" in out
    assert "mel 1.0002 0.0078759 conv_out 127 1" in out
    (tmp_path / "asr.cache").write_text("mel: 3c010a14\n")
    status, _, err = run(capsys, "inspect", tmp_path / "asr.cache")
    assert status == 2
    assert "error calibration_cache" in " ".join(err.split())


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU")
def test_a_gpu_asked_for_where_there_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, _, err = run(
        capsys, "compile", MODEL, "--calibration-set", CALIBRATION_SET, "-o", tmp_path, "--flavor", "tensorrt"
    )
    assert status == 2
    assert "error no_gpu" in " ".join(err.split())
    assert "tensorrt-rtx builds engines without a GPU" in " ".join(err.split())


def test_doctor_tells_what_can_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "doctor")
    assert status == 0
    assert "build engines with TensorRT-RTX" in out
    assert "What can be done here" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as caught:
        make_parser().parse_args([command, "--help"])
    assert caught.value.code == 0
    assert command in capsys.readouterr().out
