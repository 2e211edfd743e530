"""The main job on a few bundled clips, with the real libraries."""

import io
import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from rich.console import Console

import trtforge
from tests.bundled import CALIBRATION_SET, MODEL, TEST_SET, some_clips
from trtforge._optional import is_installed
from trtforge.engine import BuildConfig, Engine
from trtforge.errors import ConfigError, ExecutionError, ModelError
from trtforge.graph import describe, kept_float32, prepare, tensors_for_float16
from trtforge.nvidia import Flavor
from trtforge.nvidia.selection import flavor_for
from trtforge.pipeline import Compilation
from trtforge.pipeline.calibration import CollectOn
from trtforge.pipeline.compile_request import tensors_to_know
from trtforge.scales import Scales

RTX, V8 = flavor_for("tensorrt_rtx", "1.7.1"), flavor_for("tensorrt", "8.6.0")
pytestmark = pytest.mark.skipif(not is_installed("tensorrt_rtx"), reason="tensorrt_rtx is not installed")


@pytest.fixture(scope="module")
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="module")
def made(said: io.StringIO) -> Compilation:
    return trtforge.compile(
        MODEL,
        some_clips(CALIBRATION_SET, 8),
        evaluate=some_clips(TEST_SET, 10),
        flavor="tensorrt_rtx",
        command="a command",
        console=Console(file=said, width=120),
    )


def test_every_stage_says_what_it_did(made: Compilation, said: io.StringIO) -> None:
    # A stage that takes long says so in between, in lines of another mark.
    lines = [line.split() for line in said.getvalue().splitlines() if line.startswith("✓")]
    assert [line[1] for line in lines] == ["load", "calibrate", "quantize", "build", "evaluate"]
    assert "8 clips to calibrate on, 10 clips to evaluate on" in " ".join(lines[0])
    assert "tensors on 8 clips, entropy" in " ".join(lines[1])


def test_the_engine_is_real_and_made_of_the_quantized_network(made: Compilation) -> None:
    manifest = made.engine.manifest
    assert (manifest.library, manifest.precision) == ("tensorrt_rtx", "int8")
    assert manifest.layer_precisions is not None
    assert manifest.layer_precisions["int8"] > 0
    assert manifest.onnx_sha256 == trtforge.model.model_digest(made.model)
    assert len(made.engine.plan) > 1_000_000


def test_the_profile_covers_every_clip(made: Compilation) -> None:
    (profile,) = made.engine.manifest.profiles
    frames = [
        1 + clip.num_samples // 160
        for clips in (some_clips(CALIBRATION_SET, 8), some_clips(TEST_SET, 10))
        for clip in clips
        if clip.num_samples
    ]
    assert profile.shapes["mel"].min[2] <= min(frames)
    assert profile.shapes["mel"].max[2] >= max(frames)


def test_scales_name_network_and_clips(made: Compilation) -> None:
    assert made.scales is not None
    assert made.scales.model_sha256 == trtforge.model.model_digest(onnx.load(MODEL))
    assert made.scales.num_clips == 8
    assert "mel" in made.scales


def test_accuracy_counts_every_word(made: Compilation) -> None:
    report = made.accuracy
    assert report is not None
    assert report.runners == ("FP32", "INT8")
    assert report.num_clips == 10
    assert {stratum.factor for stratum in report.strata} >= {"accent", "noise", "snr", "reverb", "channel"}


def test_the_folder_holds_all_that_was_made(made: Compilation, tmp_path: Path) -> None:
    made.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "asr_en.engine",
        "asr_en.engine.json",
        "asr_en.int8.onnx",
        "observations.npz",
        "report.html",
        "report.json",
        "scales.json",
    ]
    assert Engine.load(tmp_path / "asr_en.engine") == made.engine
    assert Scales.load(tmp_path / "scales.json") == made.scales
    assert json.loads((tmp_path / "report.json").read_text()) == made.report
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") >= 10
    assert "http://" not in page.replace("http://www.w3.org", "")
    onnx.checker.check_model(onnx.load(tmp_path / "asr_en.int8.onnx"))


def test_the_report_repeats_what_the_values_say(made: Compilation) -> None:
    report = made.report
    assert report["command"] == "a command"
    assert report["engine"]["sha256"] == made.engine.manifest.plan_sha256
    assert sum(report["graph"]["counts"].values()) == len(report["graph"]["layers"])
    assert list(report["timings"]) == ["load", "calibrate", "quantize", "build", "evaluate"]
    tensor = report["calibration"]["tensors"][0]
    assert sum(tensor["histogram"]["counts"]) == tensor["num_values"]


def test_float16_needs_no_clips_but_lengths(tmp_path: Path) -> None:
    made = trtforge.compile(
        MODEL, evaluate=some_clips(TEST_SET, 4), precision="float16", flavor="tensorrt_rtx"
    )
    assert made.engine.manifest.precision == "float16"
    assert made.scales is None
    made.save(tmp_path)
    assert not (tmp_path / "scales.json").exists()
    with pytest.raises(ConfigError, match="without clips the lengths to build for are unknown"):
        trtforge.compile(MODEL, precision="float16", flavor="tensorrt_rtx")


def test_float16_observes_clips_where_it_has_them() -> None:
    made = trtforge.compile(MODEL, some_clips(CALIBRATION_SET, 4), precision="float16", flavor="tensorrt_rtx")
    assert made.scales is None
    assert made.observations is not None
    assert set(made.observations.tensors) == set(tensors_for_float16(prepare(onnx.load(MODEL))))
    assert list(made.report["timings"]) == ["load", "observe", "prepare", "build"]
    assert made.report["graph"]["float32_nodes"] == kept_float32(made.model)
    assert made.engine.manifest.options.get("float32_nodes", {}) == kept_float32(made.model)


@pytest.mark.parametrize(
    ("precision", "flavor", "collect_on", "observed"),
    [
        ("int8", RTX, "cpu", "all"),
        ("int8", RTX, "gpu", "int8"),
        ("int8", V8, "cpu", "int8"),
        ("float16", RTX, "cpu", "float16"),
        ("float16", RTX, "gpu", None),
        ("float16", V8, "cpu", None),
        ("bfloat16", RTX, "cpu", None),
        ("float32", RTX, "cpu", None),
    ],
)
def test_what_is_observed_follows_from_what_is_decided_by_it(
    precision: str, flavor: Flavor, collect_on: CollectOn, observed: str | None
) -> None:
    assert tensors_to_know(precision, flavor, collect_on) == observed
    takes_a_cache = flavor.has_calibrators and collect_on == "cpu"
    complete = tensors_to_know(precision, flavor, collect_on, for_cache=True)
    assert complete == ("cache" if takes_a_cache else observed)


def test_what_is_to_stay_in_floating_point_does() -> None:
    made = trtforge.compile(
        MODEL,
        some_clips(CALIBRATION_SET, 4),
        method="max",
        keep_float="first",
        exclude=["classifier*"],
        keep_float32=["classifier*"],
        flavor="tensorrt_rtx",
    )
    precisions = [layer.precision for layer in describe(made.model).layers]
    assert (precisions[0], precisions[-1]) == ("float16", "float32")
    assert set(precisions[1:-1]) == {"int8"}
    assert made.engine.manifest.precision == "int8"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"percentile": 200.0}, "percentile must lie above 0 and up to 100, got 200.0"),
        ({"method": "minmax"}, "no calibration method 'minmax'; there are entropy, percentile, mse, max"),
        ({"max_batch": 0}, "max_batch must be at least 1, got 0"),
        ({"activation_bytes": 0}, "activation_bytes must be at least 1, got 0"),
        ({"precision": "float32", "keep_float32": ["x"]}, "keep_float32 has no effect: .* nothing is FP16"),
        ({"name": "a/b"}, "name must be a plain file name, got 'a/b'"),
        ({"config": BuildConfig(precision="float16")}, "precision is 'int8' and that of config is 'float16'"),
        ({}, "int8 needs clips to calibrate on, and none were given"),
        (
            {"precision": "int4"},
            "precision must be one of 'int8', 'float8', 'int8_weight_only', .* or None, got 'int4'",
        ),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_at_once(options: dict[str, Any], message: str) -> None:
    clips = None if "none were given" in message else CALIBRATION_SET
    with pytest.raises(ConfigError, match=message):
        trtforge.compile(MODEL, clips, flavor="tensorrt_rtx", **options)


def test_an_evaluation_that_fails_leaves_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ExecutionError("no memory left")

    monkeypatch.setattr("trtforge.pipeline.compilation.evaluate", fail)
    with pytest.raises(ExecutionError):
        trtforge.compile(
            MODEL,
            evaluate=some_clips(TEST_SET, 2),
            precision="float32",
            flavor="tensorrt_rtx",
            output=tmp_path,
        )
    assert Engine.load(tmp_path / "asr_en.engine").manifest.precision == "float32"
    assert json.loads((tmp_path / "report.json").read_text())["accuracy"] is None


def test_what_another_precision_left_is_removed(made: Compilation, tmp_path: Path) -> None:
    made.save(tmp_path)
    (tmp_path / "mine.txt").write_text("kept")
    other = trtforge.compile(
        MODEL, evaluate=some_clips(TEST_SET, 2), precision="float32", flavor="tensorrt_rtx"
    )
    other.save(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {path.name for path in other.files(tmp_path)} | {"mine.txt"}
    assert "asr_en.int8.onnx" not in names


def test_settings_of_the_build_are_kept() -> None:
    made = trtforge.compile(
        MODEL,
        evaluate=some_clips(TEST_SET, 2),
        precision="float32",
        flavor="tensorrt_rtx",
        config=BuildConfig(compute_capabilities=("8.6",)),
    )
    assert made.engine.manifest.compute_capabilities == ("8.6",)


def test_a_network_that_does_not_fit_the_features_is_refused() -> None:
    model = onnx.load(MODEL)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 64
    with pytest.raises(ModelError, match="64"):
        trtforge.compile(model, some_clips(CALIBRATION_SET, 8), flavor="tensorrt_rtx")


def test_a_network_with_another_input_name_is_refused() -> None:
    model = onnx.load(MODEL)
    model.graph.input[0].name = "audio"
    for node in model.graph.node:
        node.input[:] = ["audio" if name == "mel" else name for name in node.input]
    with pytest.raises(ModelError, match="mel"):
        trtforge.compile(model, some_clips(CALIBRATION_SET, 8), flavor="tensorrt_rtx")


def test_a_full_disk_leaves_what_was_there(
    made: Compilation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = trtforge.compile(
        MODEL, evaluate=some_clips(TEST_SET, 2), precision="float32", flavor="tensorrt_rtx"
    )
    synced = []

    def full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        other.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
