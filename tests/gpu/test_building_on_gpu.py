"""What the builder of real TensorRT makes of our options; skipped where there is none."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import onnx.parser
import pytest

from tests.engine.networks import PROFILE, conv_net
from tests.gpu.needs import why_not
from trtforge.engine import BuildConfig, build
from trtforge.engine.timing_cache import TimingCache
from trtforge.errors import BuildError, ConfigError, PluginMissingError
from trtforge.model import load_model
from trtforge.nvidia import available
from trtforge.nvidia.options import BY_FIELD
from trtforge.profiles import OptimizationProfile
from trtforge.runtime import OnnxRunner, Session

_REASON = why_not("onnxruntime")
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))

RECOGNISER = Path(__file__).parents[2] / "examples/models/asr_en/asr_en.onnx"
MEL = np.random.default_rng(0).uniform(-4, 4, (2, 4, 40)).astype(np.float32)
OPTIONS = [
    {"optimization_level": 0},
    {"workspace_bytes": 1 << 30},
    {"memory_pools": {"tactic_dram": 4 << 30}},
    {"memory_pools": {"tactic_shared_memory": 64 << 10}},
    {"sparsity": True},
    {"tf32": False},
    {"tactic_sources": ("jit_convolutions", "edge_mask_convolutions")},
    {"tactic_sources": ()},
    {"refit": "any"},
    {"refit": "identical"},
    {"hardware_compatibility": "ampere_plus"},
    {"hardware_compatibility": "same_compute_capability"},
    {"aux_streams": 0},
    {"aux_streams": 2},
    {"profiling_verbosity": "none"},
    {"profiling_verbosity": "layer_names_only"},
    {"preview_features": {"profile_sharing_0806": True}},
    {"preview_features": {"faster_dynamic_shapes_0805": False}},
    {"preview_features": {"disable_external_tactic_sources_for_core_0805": True}},
]


def tensorrt():
    return next(flavor for flavor in available() if flavor.name == "tensorrt")


def lacks(options):
    """Say whether the library here lacks one of the options or of their values."""
    generation = tensorrt().generation
    return any(
        generation not in BY_FIELD[name].have
        or any(generation not in BY_FIELD[name].choices[choice] for choice in BY_FIELD[name].chosen(value))
        for name, value in options.items()
    )


def built(model=None, **settings):
    return build(model or conv_net(), profiles=[PROFILE], config=BuildConfig(**settings), flavor="tensorrt")


def outcome(**settings):
    """Return the engine, or the error that the library gave instead."""
    try:
        return built(**settings)
    except BuildError as error:
        return error


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: str(options)[1:-1])
def test_an_option_is_taken_and_the_engine_still_right(options):
    if lacks(options):
        with pytest.raises(ConfigError, match="has no"):
            built(**options)
        return
    engine = built(**options)
    name, value = next(iter(options.items()))
    assert engine.manifest.options[name] == (list(value) if isinstance(value, tuple) else value)
    with Session(engine) as session:
        got = session.run({"mel": MEL})["logits"]
    assert np.abs(got - OnnxRunner(conv_net()).run({"mel": MEL})["logits"]).max() < 5e-3


def test_weights_that_a_cast_makes_are_in_one_layer_with_their_convolution():
    """The bundled recogniser stores weights in FP16; its 19 convolutions are asked for in FP16."""
    network = load_model(RECOGNISER)
    profile = OptimizationProfile({"mel": ((1, 80, 64), (4, 80, 320), (4, 80, 512))})
    engine = build(network, profiles=[profile], config=BuildConfig(precision="float16"), flavor="tensorrt")
    assert engine.manifest.options["constants"] == "computed"
    assert engine.manifest.proof.counts["fell_back"] == 0
    layers = engine.manifest.layer_precisions
    assert layers["float16"] >= 19
    assert sum(layers.values()) < 2 * 19
    mel = np.random.default_rng(0).standard_normal((2, 80, 200), np.float32)
    with Session(engine) as session:
        (found,) = session.run({"mel": mel}).values()
    (wanted,) = OnnxRunner(network).run({"mel": mel}).values()
    assert np.mean(found.argmax(-1) == wanted.argmax(-1)) > 0.99


def test_a_version_compatible_engine_without_the_lean_runtime_is_built():
    engine = built(version_compatible=True, exclude_lean_runtime=True)
    asked = {"version_compatible": True, "exclude_lean_runtime": True}
    assert asked.items() <= engine.manifest.options.items()
    assert len(engine.plan) > 1000


def test_one_with_the_lean_runtime_is_built_or_says_what_lacks():
    made = outcome(version_compatible=True)
    if isinstance(made, BuildError):
        assert "exclude_lean_runtime" in str(made.hint), made
    else:
        assert made.manifest.options == {"version_compatible": True}


def test_a_hardware_compatible_engine_says_where_it_runs():
    assert built(hardware_compatibility="ampere_plus").manifest.compute_capabilities == ("8.0+",)


def test_the_second_build_finds_the_timings_of_the_first(tmp_path):
    path = tmp_path / "timing.cache"
    first = built(timing_cache=path).manifest
    size = path.stat().st_size
    second = built(timing_cache=path).manifest
    print(f"cold {first.build_seconds} s, warm {second.build_seconds} s, cache {size} bytes")
    assert first.timing_cache_sha256 is None
    assert len(second.timing_cache_sha256) == 64
    assert second.warnings == first.warnings
    assert path.stat().st_size >= size > 0


def test_a_timing_cache_that_is_none_is_replaced(tmp_path):
    path = tmp_path / "timing.cache"
    path.write_bytes(b"no timing cache" * 100)
    # In a process of its own, should the library crash on it.
    program = textwrap.dedent("""
        import sys
        from tests.engine.networks import PROFILE, conv_net
        from trtforge.engine import BuildConfig, build
        config = BuildConfig(timing_cache=sys.argv[1])
        print(build(conv_net(), profiles=[PROFILE], config=config, flavor="tensorrt").manifest.warnings)
    """)
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr[-2000:]}"
    assert "the timing cache was made elsewhere, and a new one was begun" in done.stdout
    assert not path.read_bytes().startswith(b"no timing cache")


def test_timings_that_another_build_wrote_meanwhile_are_kept(tmp_path):
    mine, others = tmp_path / "mine.cache", tmp_path / "others.cache"
    built(timing_cache=others)

    read = TimingCache.read

    def read_then_change(self):
        content = read(self)
        mine.write_bytes(others.read_bytes())
        return content

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TimingCache, "read", read_then_change)
        built(conv_net(), timing_cache=mine, precision="float16")
    assert mine.stat().st_size > others.stat().st_size


def test_a_plugin_that_is_none_says_why(tmp_path):
    path = tmp_path / "libops.so"
    path.write_bytes(b"no library")
    with pytest.raises(PluginMissingError, match=r"libops.so cannot be loaded") as caught:
        built(plugins=(path,))
    print(caught.value)


def test_control_c_is_heard_while_the_library_builds(tmp_path):
    program = textwrap.dedent("""
        import sys, time
        import numpy as np, onnx
        from onnx import TensorProto, helper, numpy_helper
        from trtforge.engine import BuildConfig, build
        weights, nodes, name = [], [], "x"
        for index in range(24):
            weights.append(numpy_helper.from_array(np.ones((256, 256, 9), np.float32), f"w{index}"))
            nodes.append(helper.make_node("Conv", [name, f"w{index}"], [f"c{index}"], pads=[4, 4]))
            nodes.append(helper.make_node("Tanh", [f"c{index}"], [f"t{index}"]))
            name = f"t{index}"
        graph = helper.make_graph(nodes, "deep",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [8, 256, 1500])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [8, 256, 1500])], weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        from trtforge.cli import main
        onnx.save(model, sys.argv[1] + "/deep.onnx")
        print("begun", flush=True)
        sys.exit(main(["build", sys.argv[1] + "/deep.onnx", "-o", sys.argv[1] + "/deep.engine",
                       "--flavor", "tensorrt", "--precision", "float16", "--optimization-level", "5"]))
    """)
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "begun\n"
    time.sleep(12)
    running = child.poll() is None
    asked = time.monotonic()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=120)
    print(f"ended {time.monotonic() - asked:.1f} s after the interrupt, status {child.returncode}: {err}")
    if not running:
        pytest.skip(f"the build took less than 12 s: {out} {err}")
    assert child.returncode == 130, err
    assert "interrupted" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep.onnx"]


def test_a_network_of_halves_without_weights_runs_in_halves():
    graph = (
        "g (float16[batch, 4, frames] mel) => (float16[batch, 4, frames] y) { e = Exp(mel) y = Add(e, mel) }"
    )
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {graph}')
    engine = build(model, profiles=[PROFILE], flavor="tensorrt")
    assert engine.manifest.precision == "float16"
    given = MEL.astype(np.float16)
    with Session(engine) as session:
        found = session.run({"mel": given})["y"]
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, np.exp(MEL) + MEL, rtol=0.01, atol=0.01)
