"""Options stand for arguments of the library, and errors name both."""

import argparse
import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import trtforge
from tests.bundled import MODEL
from trtforge.audio import ClipSet
from trtforge.calibration.activations import ActivationSource
from trtforge.cli import COMMANDS, main, make_parser, options_of
from trtforge.engine import BuildConfig
from trtforge.errors import TrtforgeError
from trtforge.scales import Scales, TensorScale

PACKAGE = Path(trtforge.__file__).parent


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture(scope="module")
def scales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ranges of every tensor of the bundled network, without running it."""
    from trtforge.graph import prepare, tensors_to_observe
    from trtforge.model import load_model, model_digest

    model = load_model(MODEL)
    names = tensors_to_observe(prepare(model))
    path = tmp_path_factory.mktemp("scales") / "scales.json"
    Scales(
        {name: TensorScale(amax=4.0, observed_max=4.0) for name in names},
        method="max",
        model_sha256=model_digest(model),
        feeds_sha256="0" * 64,
        num_clips=1,
    ).save(path)
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_options_that_stand_for_arguments_exist(command: str) -> None:
    parser = argparse.ArgumentParser()
    module = importlib.import_module(f"trtforge.cli.{command.replace('-', '_')}")
    module.add_arguments(parser)
    usage = parser.format_help()
    for options in getattr(module, "OPTIONS", {}).values():
        for option in options:
            assert re.search(rf"{option}\b", usage), option


def test_an_argument_is_found_by_its_name_or_by_what_the_command_says() -> None:
    args = make_parser("build").parse_args(["build", "m.onnx", "-o", "out.engine"])
    assert options_of(args, "profiles") == ("--frames", "--clips", "--profiles")
    assert options_of(args, "max_batch") == ("--max-batch",)
    assert options_of(args, "workspace_bytes") == ("--workspace",)
    assert options_of(args, "max_bad_share") == ()


def test_hints_that_name_arguments_say_so_to_programs() -> None:
    called = [trtforge.audit, trtforge.build, trtforge.calibrate, trtforge.compile, trtforge.evaluate]
    called += [trtforge.quantize, trtforge.collect, BuildConfig, ClipSet.load]
    arguments = {name for call in called for name in inspect.signature(call).parameters}
    unsaid = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            if not isinstance(given.get("hint"), ast.Constant | ast.JoinedStr):
                continue
            hint, told = ast.unparse(given["hint"]), ast.unparse(given.get("settings", ast.Constant(())))
            named = {
                name
                for name in arguments
                if re.search(rf"\b{name}\b" if "_" in name else rf"\b{name}=", hint)
            }
            unsaid += [f"{path.name}:{node.lineno}: {name}" for name in named if f"'{name}'" not in told]
    assert unsaid == []


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (
            ("build", MODEL, "-o", "out.engine", "--flavor", "tensorrt_rtx"),
            ["profiles: --frames or --clips or --profiles"],
        ),
        (
            ("compile", MODEL, "-o", "out", "--flavor", "tensorrt_rtx"),
            ["clips: --calibration-set", "precision: --precision"],
        ),
        (
            ("compile", MODEL, "-o", "out", "--precision", "float16", "--flavor", "tensorrt_rtx"),
            ["profiles: --frames or --profiles", "clips: --calibration-set", "evaluate: --evaluate"],
        ),
        (("build", MODEL, "-o", "out.engine", "--frames", "0", "9"), ["frame_counts: --frames or --clips"]),
        (
            ("build", MODEL, "-o", "out.engine", "--frames", "100", "200", "--max-batch", "0"),
            ["max_batch: --max-batch"],
        ),
        (
            ("build", MODEL, "-o", "out.engine", "--frames", "100", "200", "--optimization-level", "9"),
            ["optimization_level: --optimization-level"],
        ),
    ],
)
def test_errors_name_the_options(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[object, ...],
    options: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([str(word) for word in words]) == 2
    error = said(capsys)
    assert [f"option {option}" in error for option in options] == [True] * len(options)


def test_an_argument_that_no_option_stands_for_is_told_as_such(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "manifest.jsonl").write_text('{"id": "a", "path": "a.wav", "text": "one"}\n')
    assert main(["evaluate", str(MODEL), "--clips", str(tmp_path)]) == 2
    assert "raise max_bad_share option max_bad_share: no option, Python alone" in said(capsys)


def test_an_error_keeps_its_settings() -> None:
    assert TrtforgeError("x").settings == ()
    assert TrtforgeError("x", settings=("a", "b")).settings == ("a", "b")


@pytest.mark.parametrize("command", ["calibrate", "audit", "compile"])
@pytest.mark.parametrize(("size", "message"), [("lots", "'lots' is no size"), ("0", "at least one byte")])
def test_a_size_that_is_none_is_refused(
    capsys: pytest.CaptureFixture[str], command: str, size: str, message: str
) -> None:
    words = [command, str(MODEL), "--calibration-set", "DIR", "-o", "out", "--activation-memory", size]
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert f"argument --activation-memory: {message}" in said(capsys).replace("a size must be ", "")


@pytest.mark.parametrize("command", ["calibrate", "audit", "compile"])
def test_the_bound_on_activations_reaches_the_collector(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    class Reached(Exception):  # noqa: N818 - it stops the work, nothing is wrong
        pass

    seen = []

    def init(self: ActivationSource, *_: object, activation_bytes: int) -> None:
        seen.append(activation_bytes)
        raise Reached

    monkeypatch.setattr(ActivationSource, "__init__", init)
    words = [command, str(MODEL), "--calibration-set", str(MODEL.parents[3] / "calibration_sets/podcast_en")]
    words += ["-o", str(tmp_path / "out")]
    for more in ([], ["--activation-memory", "1.5MiB"]):
        flavor = ["--flavor", "tensorrt_rtx"] if command == "compile" else []
        with pytest.raises(Reached):
            main([*words, *flavor, *more])
    assert seen == [400_000_000, 3 << 19]


def test_layers_kept_in_floating_point(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, scales: Path
) -> None:
    import onnx

    from trtforge.graph import describe

    words = ["quantize", str(MODEL), "--scales", str(scales), "-o", str(tmp_path / "qdq.onnx")]
    assert main(words) == 0
    everything = describe(onnx.load(tmp_path / "qdq.onnx")).layers
    assert {layer.precision for layer in everything} == {"int8"}
    assert main([*words, "--keep-float", "first_last"]) == 0
    kept = [layer.precision for layer in describe(onnx.load(tmp_path / "qdq.onnx")).layers]
    assert (kept[0], kept[-1]) == ("float16", "float16")
    assert set(kept[1:-1]) == {"int8"}
    last = everything[-1].name
    assert main([*words, "--exclude", last, "--keep-float32", last]) == 0
    kept = [layer.precision for layer in describe(onnx.load(tmp_path / "qdq.onnx")).layers]
    assert kept[-1] == "float32"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("option", ["--exclude", "--keep-float32"])
def test_an_unknown_node_gets_its_nearest_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, scales: Path, option: str
) -> None:
    words = ["quantize", str(MODEL), "--scales", str(scales), "-o", str(tmp_path / "qdq.onnx")]
    assert main([*words, option, "clasifier"]) == 2
    error = said(capsys)
    setting = option[2:].replace("-", "_")
    assert f"{setting} names 'clasifier', which matches none of the" in error
    assert re.search(r"the nearest are '[^']*classifier", error)
    assert f"option {setting}: {option}" in error
    assert main([*words, option, "#"]) == 2
    assert "the first ones are '" in said(capsys)


def test_keep_float32_where_it_cannot_be_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, scales: Path
) -> None:
    words = ["quantize", str(MODEL), "--scales", str(scales), "-o", str(tmp_path / "qdq.onnx")]
    assert main([*words, "--rest", "float32", "--keep-float32", "classifier*"]) == 2
    assert "keep_float32 needs rest='float16'" in said(capsys)
    words = ["compile", str(MODEL), "-o", str(tmp_path / "out"), "--frames", "100", "200"]
    words += ["--precision", "float32", "--flavor", "tensorrt_rtx", "--keep-float32", "classifier*"]
    assert main(words) == 2
    assert "keep_float32 has no effect: the precision is 'float32', and nothing is FP16" in said(capsys)


def test_a_network_in_fp32_is_built_in_fp16(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    engine = tmp_path / "asr.engine"
    words = ["build", str(MODEL), "-o", str(engine), "--frames", "200", "1200", "--flavor", "tensorrt_rtx"]
    assert main([*words, "--precision", "float16"]) == 0
    assert main(["inspect", str(engine)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "float16 engine of tensorrt_rtx" in out
    assert "typed float16 for the build" in out
