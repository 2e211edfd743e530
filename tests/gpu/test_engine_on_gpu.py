"""Build and run real engines; skipped where `trtforge.nvidia` finds nothing to run them with."""

import dataclasses
import subprocess
import sys

import numpy as np
import onnx.parser
import pytest

from tests.engine.networks import PROFILE, conv_net
from tests.gpu.needs import why_not
from trtforge.engine import BuildConfig, Engine, build
from trtforge.errors import (
    EngineIncompatibleError,
    EngineIntegrityError,
    InputError,
    NoGpuError,
    ProfileError,
)
from trtforge.nvidia import gpus
from trtforge.nvidia.cuda import Event, Stream
from trtforge.profiles import OptimizationProfile
from trtforge.runtime import OnnxRunner, Session

_REASON = why_not("onnxruntime")
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))

SHAPES = ((1, 4, 8), (2, 4, 32), (3, 4, 17), (4, 4, 64), (1, 4, 64))
# Largest difference from ONNX Runtime in FP32, in units of the logits, whose spread is about 0.7.
TOLERANCES = {"float32": 5e-3, "float16": 2e-2, "int8": 3e-2}


def mel(shape, seed=0):
    return np.random.default_rng(seed).uniform(-4, 4, shape).astype(np.float32)


@pytest.fixture(scope="module")
def engines():
    """One engine of the small network for each precision, from the flavor that runs here."""
    return {
        precision: build(
            conv_net(quantized=precision == "int8"),
            profiles=[PROFILE],
            config=BuildConfig(precision=precision),
            flavor="tensorrt",
        )
        for precision in ("float32", "float16", "int8")
    }


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_outputs_agree_with_onnx_runtime_at_every_shape(engines, precision):
    reference = OnnxRunner(conv_net(quantized=precision == "int8"))
    with Session(engines[precision]) as session:
        for seed, shape in enumerate(SHAPES):
            arrays = {"mel": mel(shape, seed)}
            wanted, got = reference.run(arrays)["logits"], session.run(arrays)["logits"]
            assert got.shape == wanted.shape == (shape[0], 5, shape[2])
            assert got.dtype == np.float32
            assert np.abs(got - wanted).max() < TOLERANCES[precision]


def test_the_manifest_tells_what_runs(engines):
    (gpu, *_), made = gpus(), engines["int8"].manifest
    assert made.compute_capabilities == (gpu.compute_capability,)
    assert (made.gpu, made.driver) == (gpu.name, gpu.driver)
    assert made.layer_precisions["int8"] >= 1
    assert engines["float32"].manifest.layer_precisions.get("int8", 0) == 0


def test_an_engine_runs_as_before_after_saving_and_loading(engines, tmp_path):
    arrays = {"mel": mel((2, 4, 40))}
    with Session(engines["float32"]) as session:
        before = session.run(arrays)["logits"]
    engines["float32"].save(tmp_path / "net.engine")
    with Session(tmp_path / "net.engine") as session:
        np.testing.assert_array_equal(session.run(arrays)["logits"], before)


def test_damaged_and_foreign_engines_are_refused(engines, tmp_path):
    path = tmp_path / "net.engine"
    engines["float32"].save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EngineIntegrityError, match="is cut short"):
        Session(path)
    path.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    with pytest.raises(EngineIntegrityError, match="the plan was altered"):
        Session(path)
    made = engines["float32"].manifest
    for change in ({"library_version": "8.5.0"}, {"compute_capabilities": ("7.0",)}):
        with pytest.raises(EngineIncompatibleError):
            Session(Engine(whole, dataclasses.replace(made, **change)))


def test_wrong_inputs_leave_the_session_usable(engines):
    arrays = {"mel": mel((2, 4, 16))}
    with Session(engines["float32"]) as session:
        before = session.run(arrays)["logits"]
        with pytest.raises(ProfileError, match="axis 2 of input 'mel' is 65, outside 8 to 64"):
            session.run({"mel": mel((1, 4, 65))})
        with pytest.raises(InputError, match="has dtype float64"):
            session.run({"mel": mel((1, 4, 16)).astype(np.float64)})
        np.testing.assert_array_equal(session.run(arrays)["logits"], before)


def test_two_profiles_are_chosen_by_shape():
    profiles = [
        OptimizationProfile({"mel": ((1, 4, 8), (1, 4, 16), (1, 4, 32))}),
        OptimizationProfile({"mel": ((2, 4, 33), (2, 4, 64), (4, 4, 128))}),
    ]
    reference = OnnxRunner(conv_net())
    with Session(build(conv_net(), profiles=profiles, flavor="tensorrt")) as session:
        for shape in ((1, 4, 16), (4, 4, 128), (1, 4, 32), (2, 4, 33)):
            arrays = {"mel": mel(shape)}
            wanted, got = reference.run(arrays)["logits"], session.run(arrays)["logits"]
            assert np.abs(got - wanted).max() < TOLERANCES["float32"]


def test_a_timing_cache_is_kept(tmp_path):
    config = BuildConfig(timing_cache=tmp_path / "timing.cache")
    build(conv_net(), profiles=[PROFILE], config=config, flavor="tensorrt")
    assert (tmp_path / "timing.cache").stat().st_size > 0
    again = build(conv_net(), profiles=[PROFILE], config=config, flavor="tensorrt")
    assert again.manifest.options["timing_cache"] is True


def test_operators_that_the_library_runs_by_plugins_of_its_own(tmp_path):
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[batch, 2, frames] mel) => (float[batch, 2, frames] logits)
        <float[2] scale = {1.5, -2.0}, float[2] bias = {0.25, 1.0}>
        { logits = InstanceNormalization <epsilon = 1e-3> (mel, scale, bias) }
    """)
    profile = OptimizationProfile({"mel": ((1, 2, 8), (2, 2, 32), (4, 2, 64))})
    build(model, profiles=[profile], flavor="tensorrt").save(tmp_path / "net.engine")
    wanted = OnnxRunner(model).run({"mel": mel((2, 2, 32))})["logits"]
    np.save(tmp_path / "mel.npy", mel((2, 2, 32)))
    code = (  # a process that built nothing, and so has no plugin registered by a build
        "import sys, numpy\nfrom trtforge.runtime import Session\n"
        "with Session(sys.argv[1] + '/net.engine') as session:\n"
        "    given = numpy.load(sys.argv[1] + '/mel.npy')\n"
        "    numpy.save(sys.argv[1] + '/logits.npy', session.run({'mel': given})['logits'])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert np.abs(np.load(tmp_path / "logits.npy") - wanted).max() < TOLERANCES["float32"]


def test_events_take_times():
    with Stream() as stream, Event() as start, Event() as end:
        start.record(stream)
        end.record(stream)
        assert 0 <= end.elapsed_ms(start) < 1000


def test_a_process_without_visible_gpus_is_refused_and_lives(engines, tmp_path):
    engines["float32"].save(tmp_path / "net.engine")
    code = (
        "import os, sys; os.environ['CUDA_VISIBLE_DEVICES'] = '-1'\n"
        "from trtforge.errors import NoGpuError\nfrom trtforge.runtime import Session\n"
        "try:\n    Session(sys.argv[1])\nexcept NoGpuError as error:\n    print(error.code)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "net.engine")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, NoGpuError.code)
