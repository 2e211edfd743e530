"""The whole way to FP8 and to narrow weights, with a recogniser of products alone."""

import io
import json
from pathlib import Path

import onnx
import pytest
from rich.console import Console

import trtforge
from tests.bundled import CALIBRATION_SET, MODEL, TEST_SET, some_clips
from tests.engine.networks import dense_net
from trtforge._optional import is_installed
from trtforge.cli import main
from trtforge.errors import ConfigError, QuantizationError
from trtforge.model import load_model, model_metadata

pytestmark = pytest.mark.skipif(not is_installed("tensorrt_rtx"), reason="tensorrt_rtx is not installed")


@pytest.fixture(scope="module")
def recogniser() -> onnx.ModelProto:
    """Three products on the bundled recogniser's features, read as its output is, at every frame."""
    model, said = dense_net(), model_metadata(load_model(MODEL))
    decoder = {**json.loads(said["trtforge.decoder"]), "stride": 1}
    onnx.helper.set_model_props(
        model, {"trtforge.features": said["trtforge.features"], "trtforge.decoder": json.dumps(decoder)}
    )
    return model


def test_float8_is_calibrated_built_and_evaluated(recogniser: onnx.ModelProto) -> None:
    made = trtforge.compile(
        recogniser,
        some_clips(CALIBRATION_SET, 4),
        precision="float8",
        evaluate=some_clips(TEST_SET, 4),
        flavor="tensorrt_rtx",
    )
    assert made.engine.manifest.precision == "float8"
    assert made.engine.manifest.compute_capabilities == ("8.9", "12.0+")
    assert made.report["proof"]["delivered"] == 3
    assert {layer["real"] for layer in made.report["proof"]["layers"]} == {"fp8"}
    assert made.accuracy is not None
    assert list(made.accuracy.outputs) == ["FP8"]
    assert 20 < made.accuracy.outputs["FP8"]["logits"].snr_db < 60


def test_weights_alone_need_no_clips_to_calibrate_on(recogniser: onnx.ModelProto) -> None:
    made = trtforge.compile(
        recogniser,
        precision="int4_weight_only",
        evaluate=some_clips(TEST_SET, 4),
        config=trtforge.BuildConfig(weight_block_size=16),
        flavor="tensorrt_rtx",
    )
    assert made.scales is None
    assert made.report["graph"]["counts"] == {"float16": 3}
    assert (made.report["proof"]["stored_narrow"], made.report["proof"]["read_narrow"]) == (3, 2)
    assert "3 with narrow weights, of which 2 read them so" in trtforge.report.render_html(made.report)
    assert made.accuracy is not None
    assert 10 < made.accuracy.outputs["INT4 weights"]["logits"].snr_db < 40


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        ("float8", "the network has no layer to quantize: stem.conv.out: FP8 is for products"),
        ("int4_weight_only", "no product has a weight to store narrow"),
    ],
)
def test_a_network_of_convolutions_is_refused_before_clips_are_run(precision: str, message: str) -> None:
    shown = io.StringIO()
    with pytest.raises(QuantizationError, match=message):
        trtforge.compile(
            MODEL,
            some_clips(CALIBRATION_SET, 2),
            precision=precision,  # type: ignore[arg-type]
            flavor="tensorrt_rtx",
            console=Console(file=shown),
        )
    assert [line.split()[1] for line in shown.getvalue().splitlines()] == ["load"]


def test_what_is_about_quantized_activations_is_refused(recogniser: onnx.ModelProto) -> None:
    for options, setting in (({"keep_float": "first"}, "keep_float"), ({"attention": "int8"}, "attention")):
        with pytest.raises(ConfigError, match=f"{setting} is about INT8 and FP8, and the precision is"):
            trtforge.compile(recogniser, CALIBRATION_SET, precision="int8_weight_only", **options)
    with pytest.raises(ConfigError, match="float8 needs clips to calibrate on"):
        trtforge.compile(recogniser, precision="float8", evaluate=TEST_SET)


def test_the_command_line_asks_for_them(
    recogniser: onnx.ModelProto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(recogniser, tmp_path / "dense.onnx")
    model, engine = str(tmp_path / "dense.onnx"), str(tmp_path / "dense.engine")
    words = ["build", model, "-o", engine, "--frames", "8", "64", "--flavor", "tensorrt_rtx"]
    assert main([*words, "--precision", "int4_weight_only", "--block-size", "16"]) == 0
    assert "3 with weights in int4 (2 read so)" in " ".join(capsys.readouterr().out.split())
    assert main([*words, "--precision", "float8"]) == 2
    assert "quantize the network to float8 first" in capsys.readouterr().err
    assert main([*words, "--precision", "int4_weight_only", "--block-size", "48"]) == 2
    assert "option weight_block_size: --block-size" in capsys.readouterr().err
    words = ["compile", model, "--calibration-set", str(CALIBRATION_SET), "-o", str(tmp_path / "out")]
    words += ["--flavor", "tensorrt_rtx", "--precision", "float8", "--compute-capability", "8.6"]
    assert main(words) == 2
    assert "precision 'float8' needs compute capability 8.9 or above" in capsys.readouterr().err
