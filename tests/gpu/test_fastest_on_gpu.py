"""The race with real times, and what engines really run in; skipped where there is no TensorRT to time."""

import numpy as np
import pytest

from benchmarks.native_calibrator.networks import convolution_stack
from benchmarks.networks.whisper_encoder import EncoderShape, whisper_encoder
from tests.gpu.needs import why_not
from trtforge.engine import BuildConfig, build
from trtforge.errors import BuildError, PrecisionError
from trtforge.graph import prepare
from trtforge.nvidia import available
from trtforge.nvidia.options import BY_FIELD
from trtforge.pipeline import build_fastest, calibrate, quantize
from trtforge.profiles import OptimizationProfile
from trtforge.runtime import OnnxRunner, Session

_REASON = why_not("onnxruntime")
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))

FRAMES = 512
PROFILE = OptimizationProfile({"mel": ((1, 80, FRAMES), (16, 80, FRAMES), (16, 80, FRAMES))})


def tensorrt():
    return next(flavor for flavor in available() if flavor.name == "tensorrt")


def mel(batch=2, frames=FRAMES):
    return {"mel": np.random.default_rng(0).standard_normal((batch, 80, frames), np.float32)}


@pytest.fixture(scope="module")
def network():
    return prepare(convolution_stack(4, 256, 9))


@pytest.fixture(scope="module")
def scales(network):
    return calibrate(network, [mel()], method="max")


def test_convolutions_are_kept_in_int8(network, scales):
    found = build_fastest(network, scales, profiles=[PROFILE], flavor=tensorrt(), max_builds=4)
    print(found.verdict.reason, *(trial.to_json() for trial in found.verdict.trials), sep="\n")
    assert found.engine.manifest.precision == "int8"
    assert found.verdict.chosen.ratio < 0.98
    with Session(found.engine) as session, OnnxRunner(network) as runner:
        got, expected = (run(mel())["hidden"] for run in (session.run, runner.run))
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.99


def test_a_small_encoder_has_an_answer():
    model = whisper_encoder(EncoderShape(num_layers=1, width=256, num_heads=4))
    x = mel(1, 3000)
    shape = OptimizationProfile({"mel": ((1, 80, 3000), (2, 80, 3000), (2, 80, 3000))})
    made = calibrate(model, [x], method="max")
    found = build_fastest(model, made, profiles=[shape], flavor=tensorrt(), max_builds=5)
    print(found.verdict.reason, *(trial.to_json() for trial in found.verdict.trials), sep="\n")
    story = found.engine.manifest.options["fastest"]
    assert len(story["tried"]) == 5
    assert (found.engine.manifest.precision == "float16") == (story["chosen"] == "FP16")
    if found.verdict.chosen is not None:
        assert found.verdict.chosen.ratio <= 0.98


def test_the_convolutions_of_a_quantized_engine_are_proved(network, scales):
    rest = "float16" if tensorrt().strongly_typed_only else "float32"
    made = build(
        quantize(network, scales, rest=rest),
        profiles=[PROFILE],
        flavor=tensorrt(),
        config=BuildConfig(precision="int8"),
    ).manifest
    print(*made.proof.layers, sep="\n")
    assert made.proof.counts["delivered"] == len(made.proof.layers) == 4
    assert {layer.real for layer in made.proof.layers} == {"int8"}


def test_half_precision_is_proved_or_refused(network):
    config = BuildConfig(precision="float16", require_precision=True)
    try:
        short = (
            4
            - build(network, profiles=[PROFILE], flavor=tensorrt(), config=config).manifest.proof.counts[
                "delivered"
            ]
        )
    except PrecisionError as error:
        print(error)
        short = len(error.layers)
    made = build(network, profiles=[PROFILE], flavor=tensorrt(), config=BuildConfig(precision="float16"))
    print(*made.manifest.proof.layers, sep="\n")
    assert short == 4 - made.manifest.proof.counts["delivered"]


def test_float32_layers_do_not_pass_for_int8(network):
    made = build(
        network, profiles=[PROFILE], flavor=tensorrt(), config=BuildConfig(precision="float32")
    ).manifest
    print(*made.proof.layers, sep="\n")
    assert {layer.real for layer in made.proof.layers} <= {"float32", None}


@pytest.mark.skipif(
    _REASON is None and tensorrt().generation not in BY_FIELD["prefer_float16"].have,
    reason="the library has no precision constraints",
)
def test_float16_can_be_preferred_for_the_rest(network, scales):
    config = BuildConfig(precision="int8", prefer_float16=True)
    kept = quantize(network, scales, rest="float32", exclude=["conv1"])
    try:
        engine = build(kept, profiles=[PROFILE], flavor=tensorrt(), config=config)
    except BuildError as error:
        pytest.fail(f"the library refuses the constraints: {error}")
    print(engine.manifest.proof, *engine.manifest.proof.layers, sep="\n")
    real = {layer.name: layer.real for layer in engine.manifest.proof.layers}
    assert (real["conv0"], real["conv1"]) == ("int8", "float16")
    with Session(engine) as session, OnnxRunner(network) as runner:
        got, expected = (run(mel())["hidden"] for run in (session.run, runner.run))
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.99
