from pathlib import Path

import numpy as np
import onnx.parser
import pytest

from tests.engine.networks import PROFILE, conv_net, one_op_net, reshaping_net
from trtforge.engine import BuildConfig, Engine, build
from trtforge.engine.precision import agreed_precision
from trtforge.errors import BuildError, ConfigError, ModelError, NoGpuError, PluginMissingError, ProfileError
from trtforge.model import TensorSpec, model_digest
from trtforge.nvidia import gpus
from trtforge.nvidia.generations import cannot_run_on
from trtforge.nvidia.selection import flavor_for
from trtforge.pipeline import observe
from trtforge.profiles import OptimizationProfile
from trtforge.scales import Scales, TensorScale

needs_rtx = pytest.mark.usefixtures("_rtx")
RECOGNISER = Path(__file__).parents[2] / "examples/models/asr_en/asr_en.onnx"
V8 = flavor_for("tensorrt", "8.6.0")


@pytest.fixture
def _rtx():
    pytest.importorskip("tensorrt_rtx")


@needs_rtx
@pytest.mark.parametrize(
    ("dtype", "quantized", "opset", "precision"),
    [
        ("float32", False, 17, "float32"),
        ("float16", False, 17, "float16"),
        ("float32", True, 17, "int8"),
        ("float16", True, 19, "int8"),
    ],
)
def test_rtx_builds_without_a_gpu(dtype, quantized, opset, precision):
    model = conv_net(dtype, quantized=quantized, opset=opset)
    engine = build(model, profiles=[PROFILE], flavor="tensorrt_rtx")
    made = engine.manifest
    assert made.precision == precision
    assert made.library == "tensorrt_rtx"
    assert made.compute_capabilities == ("8.0", "8.6", "8.9", "12.0+")
    assert made.inputs == (TensorSpec("mel", dtype, ("batch", 4, "frames")),)
    assert made.outputs == (TensorSpec("logits", dtype, ("batch", 5, "frames")),)
    assert made.profiles == (PROFILE,)
    assert made.onnx_sha256 == model_digest(model)
    assert made.plan_bytes == len(engine.plan) > 10_000
    assert made.layer_precisions[precision] >= 1
    assert ("int8" in made.layer_precisions) == quantized


X = ((1, 8), (4, 8), (16, 8))


@needs_rtx
def test_rtx_builds_for_values_that_decide_shapes(tmp_path):
    profile = OptimizationProfile({"x": X}, values={"target": ((1, 4), (8, 4), (64, 8))})
    engine = build(reshaping_net(), profiles=[profile], flavor="tensorrt_rtx")
    engine.save(tmp_path / "net.engine")
    assert Engine.load(tmp_path / "net.engine").manifest.profiles == (profile,)


@needs_rtx
@pytest.mark.parametrize(
    ("network", "profile", "message"),
    [
        (
            reshaping_net(),
            OptimizationProfile({"x": X}),
            "input 'target' decides shapes by its values, and a profile has none for it",
        ),
        (
            reshaping_net(),
            OptimizationProfile({"x": X}, values={"target": ((1,), (1,), (2,))}),
            "profile 'target': 1 values are given, the network wants 2 (target: int64 [2])",
        ),
        (
            onnx.parser.parse_model(
                """<ir_version: 8, opset_import: ["": 17]>
                net (float[rows, 8] x, int64[2] n) => (float[rows, 8] y, int64[2] m)
                { y = Relu(x)
                  m = Add(n, n) }"""
            ),
            OptimizationProfile({"x": X}, values={"n": ((1, 1), (1, 1), (2, 2))}),
            "profile 'n': values are given, but those of this input decide no shape",
        ),
    ],
)
def test_values_are_given_for_just_the_inputs_that_need_them(network, profile, message):
    with pytest.raises(ProfileError) as caught:
        build(network, profiles=[profile], flavor="tensorrt_rtx")
    assert caught.value.message == message


@needs_rtx
def test_rtx_types_a_float32_network_that_is_to_become_bfloat16():
    model = conv_net()
    config = BuildConfig(precision="bfloat16")
    made = build(model, profiles=[PROFILE], config=config, flavor="tensorrt_rtx").manifest
    assert made.precision == "bfloat16"
    assert made.layer_precisions["bfloat16"] >= 2
    assert "float16" not in made.layer_precisions
    assert made.options == {"precision": "bfloat16", "typed": "bfloat16"}
    assert made.inputs == (TensorSpec("mel", "float32", ("batch", 4, "frames")),)


def test_bfloat16_is_for_libraries_that_run_the_types_of_the_network():
    with pytest.raises(ConfigError, match=r"'float32'; tensorrt 8\.6\.0 can only lower float32 to float16\n"):
        agreed_precision(conv_net(), "bfloat16", flavor_for("tensorrt", "8.6.0"))


@needs_rtx
def test_observations_without_effect_are_refused():
    model = conv_net()
    observed = observe(model, [{"mel": np.ones((1, 4, 16), np.float32)}], tensors="float16")
    for precision in ("float32", "bfloat16"):
        config = BuildConfig(precision=precision)
        with pytest.raises(ConfigError, match=r"observations have no effect: tensorrt_rtx .* is not to type"):
            build(model, profiles=[PROFILE], config=config, flavor="tensorrt_rtx", observations=observed)


@needs_rtx
def test_rtx_types_a_float32_network_that_is_to_become_float16():
    model = conv_net()
    before = model.SerializeToString(deterministic=True)
    config = BuildConfig(precision="float16")
    made = build(model, profiles=[PROFILE], config=config, flavor="tensorrt_rtx").manifest
    assert made.precision == "float16"
    assert made.layer_precisions["float16"] >= 2
    assert made.options == {"precision": "float16", "typed": "float16"}
    assert made.onnx_sha256 == model_digest(model)
    assert made.inputs == (TensorSpec("mel", "float32", ("batch", 4, "frames")),)
    assert made.outputs == (TensorSpec("logits", "float32", ("batch", 5, "frames")),)
    assert model.SerializeToString(deterministic=True) == before
    typed = conv_net("float16")
    given = build(typed, profiles=[PROFILE], config=config, flavor="tensorrt_rtx").manifest
    assert given.options == {"precision": "float16"}
    assert given.inputs[0].dtype == "float16"


@needs_rtx
def test_the_config_reaches_the_library():
    config = BuildConfig(precision="float32", optimization_level=1, compute_capabilities=("7.5", "8.9"))
    made = build(conv_net(), profiles=[PROFILE], config=config, flavor="tensorrt_rtx").manifest
    assert made.compute_capabilities == ("7.5", "8.9")
    assert made.options == {
        "precision": "float32",
        "optimization_level": 1,
        "compute_capabilities": ["7.5", "8.9"],
    }
    with pytest.raises(BuildError, match="no tactics to implement the operation within workspace") as caught:
        build(conv_net(), profiles=[PROFILE], config=BuildConfig(workspace_bytes=1), flavor="tensorrt_rtx")
    assert caught.value.hint == "raise workspace_bytes, or leave it at its default"


@needs_rtx
def test_scales_leave_their_digest_and_validity_can_be_asked():
    scales = Scales({"mel": TensorScale(4.0, 5.0)}, "max", "a" * 64, "b" * 64, 3)
    engine = build(conv_net(quantized=True), profiles=[PROFILE], flavor="tensorrt_rtx", scales=scales)
    assert len(engine.manifest.scales_sha256) == 64
    if not gpus():
        assert engine.validity().verdict == "unknown"
    rtx = flavor_for("tensorrt_rtx", engine.manifest.library_version)
    assert rtx.validity(bytes(len(engine.plan))).reasons == ("malformed_engine",)


@needs_rtx
def test_what_the_library_says_is_in_the_error():
    with pytest.raises(BuildError, match=r"cannot read the network: node 'only' \(StringNormalizer\)"):
        build(one_op_net("StringNormalizer"), flavor="tensorrt_rtx")
    with pytest.raises(PluginMissingError, match=r"plugin Nope is not registered: .*Plugin not found"):
        build(one_op_net("Nope", domain="my.ops"), flavor="tensorrt_rtx")


@needs_rtx
def test_a_size_beyond_the_integers_of_the_library_is_refused():
    profile = OptimizationProfile({"mel": ((1, 4, 8), (1, 4, 8), (1, 4, 1 << 63))})
    with pytest.raises(ProfileError, match=r"the library refuses profile .* a size is too large for it"):
        build(conv_net(), profiles=[profile], flavor="tensorrt_rtx")


@needs_rtx
def test_an_operator_that_the_library_lacks_is_told_from_a_custom_one():
    with pytest.raises(PluginMissingError, match="plugin NonZero version 1 is not registered") as caught:
        build(one_op_net("NonZero"), flavor="tensorrt_rtx")
    assert caught.value.hint == "this library lacks the operator: replace it, or build with another library"
    with pytest.raises(PluginMissingError, match="plugin Spare is not registered") as caught:
        build(one_op_net("Spare", domain="my.ops"), flavor="tensorrt_rtx")
    assert caught.value.hint == (
        "name the library that holds it in plugins (to run, or in TRTFORGE_PLUGINS), or replace the operator"
    )


@needs_rtx
def test_an_unknown_compute_capability_lists_the_known():
    config = BuildConfig(compute_capabilities=("9.0",))
    with pytest.raises(ConfigError, match=r"cannot build for '9.0'; it builds for 7.5, 8.0, 8.6, 8.9, 12.0"):
        build(conv_net(), profiles=[PROFILE], config=config, flavor="tensorrt_rtx")


@needs_rtx
def test_rtx_refuses_a_timing_cache(tmp_path):
    config = BuildConfig(timing_cache=tmp_path / "cache")
    with pytest.raises(ConfigError, match=r"timing_cache: tensorrt_rtx .* has no such option"):
        build(conv_net(), profiles=[PROFILE], config=config, flavor="tensorrt_rtx")


@needs_rtx
def test_profiles_are_checked_before_the_library_is_asked():
    with pytest.raises(
        ProfileError, match=r"dynamic axes \(mel: float32 \[batch, 4, frames\]\), and no profile"
    ):
        build(conv_net(), flavor="tensorrt_rtx")


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU")
def test_tensorrt_without_a_gpu_names_the_library_that_needs_none():
    for flavor in ("tensorrt", V8):
        with pytest.raises(NoGpuError, match="tensorrt-rtx builds engines without a GPU"):
            build(conv_net(), profiles=[PROFILE], flavor=flavor)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"precision": "int4"},
            "precision must be one of 'int8', 'float8', 'int8_weight_only', .* or None, got 'int4'",
        ),
        ({"optimization_level": 6}, "optimization_level must lie in 0 to 5, got 6"),
        ({"workspace_bytes": 0}, r"workspace_bytes must be 1 to 2\*\*63 - 1 bytes, got 0"),
        ({"compute_capabilities": "8.9"}, "compute_capabilities must be a tuple of strings, got '8.9'"),
        ({"compute_capabilities": ("sm_89",)}, "wants versions such as '8.9', got 'sm_89'"),
        ({"compute_capabilities": ("8.9", "8.9")}, "names one twice"),
        ({"memory_pools": {"workspace": 1}}, "workspace, which has a field of its own"),
        ({"workspace_bytes": "4GiB"}, r"workspace_bytes must be 1 to 2\*\*63 - 1 bytes, got '4GiB'"),
        ({"optimization_level": "3"}, "optimization_level must lie in 0 to 5, got '3'"),
        ({"optimization_level": True}, "optimization_level must lie in 0 to 5, got True"),
        ({"aux_streams": 1.5}, "aux_streams must lie in 0 to 7, got 1.5"),
        ({"memory_pools": {"tactic_dram": 0}}, r"'tactic_dram' must be 1 to 2\*\*63 - 1 bytes, got 0"),
        ({"memory_pools": None}, "memory_pools must be a mapping, got None"),
        ({"compute_capabilities": (8.9,)}, "wants versions such as '8.9', got 8.9"),
        ({"tactic_sources": 5}, "tactic_sources must be a tuple of strings, got 5"),
        ({"timing_cache": 5}, "timing_cache must be a path, True or None, got 5"),
        (
            {"prefer_float16": True, "precision": "float32"},
            "prefer_float16 contradicts precision 'float32', in which no layer may run in FP16",
        ),
        (
            {"weight_block_size": 32, "precision": "float16"},
            "weight_block_size=32 has no effect: an engine in float16 stores no weights in blocks",
        ),
        ({"memory_pools": {"attic": 1}}, "memory_pools names 'attic', which no library has; they have dla_"),
        ({"tactic_sources": "cudnn"}, "tactic_sources must be a tuple of strings, got 'cudnn'"),
        ({"preview_features": {"more": True}}, "preview_features names 'more', which no library has"),
        ({"refit": "all"}, "refit must be one of 'any', 'identical' or None, got 'all'"),
        ({"strip_weights": True}, "strip_weights without refit makes an engine that could never run"),
        ({"exclude_lean_runtime": True}, "exclude_lean_runtime has no effect"),
        ({"hardware_compatibility": "all"}, "hardware_compatibility must be one of 'ampere_plus', "),
        ({"profiling_verbosity": None}, "one of 'detailed', 'layer_names_only', 'none', got None"),
        ({"aux_streams": 8}, "aux_streams must lie in 0 to 7, got 8"),
        ({"plugins": ("lib.so",)}, "plugins wants absolute paths, got 'lib.so'"),
        ({"tf32": "off"}, "tf32 must be True or False, got 'off'"),
        ({"sparsity": 1}, "sparsity must be True or False, got 1"),
        (
            {"preview_features": {"profile_sharing_0806": "no"}},
            "preview_features: 'profile_sharing_0806' must be True or False, got 'no'",
        ),
        ({"workspace_bytes": 1 << 63}, r"must be 1 to 2\*\*63 - 1 bytes, got 922"),
        ({"weight_block_size": 64.0, "precision": "int4_weight_only"}, "one of 16, 32, 64, 128, got 64.0"),
        ({"timing_cache": False}, "timing_cache must be a path, True or None, got False"),
    ],
)
def test_a_wrong_setting_is_refused_where_it_is_made(values, message):
    with pytest.raises(ConfigError, match=message):
        BuildConfig(**values)


def test_arguments_of_other_kinds_are_refused():
    lone = OptimizationProfile({"mel": ((1, 4, 8),) * 3})
    for profiles in (lone, {"mel": ((1, 4, 8),) * 3}, [{"mel": ((1, 4, 8),) * 3}]):
        with pytest.raises(ProfileError, match="profiles must be a sequence of OptimizationProfile, got "):
            build(conv_net(), profiles=profiles, flavor=V8)
    for model in (None, b"onnx"):
        with pytest.raises(ModelError, match=r"a network is the path of an .onnx file or an onnx.ModelProto"):
            build(model, profiles=[lone], flavor=V8)
    with pytest.raises(ConfigError, match="config must be a BuildConfig, got "):
        build(conv_net(), profiles=[lone], flavor=V8, config={"precision": "float16"})
    with pytest.raises(ConfigError, match="weight_block_size=32 has no effect: an engine in float32 stores"):
        build(conv_net(), profiles=[lone], flavor=V8, config=BuildConfig(weight_block_size=32))


def test_only_what_differs_from_the_defaults_is_asked():
    assert BuildConfig().asked() == {}
    assert BuildConfig(tactic_sources=(), optimization_level=0, aux_streams=0).asked() == {
        "tactic_sources": (),
        "optimization_level": 0,
        "aux_streams": 0,
    }
    assert hash(BuildConfig(memory_pools={"tactic_dram": 1})) == hash(BuildConfig())


@needs_rtx
def test_options_reach_the_manifest(tmp_path):
    config = BuildConfig(
        memory_pools={"tactic_dram": 1 << 30},
        sparsity=True,
        tf32=False,
        tactic_sources=["jit_convolutions"],
        weight_streaming=True,
        strongly_typed=True,
        profiling_verbosity="none",
        preview_features={"aliased_plugin_io_10_03": True},
    )
    made = build(conv_net(), profiles=[PROFILE], config=config, flavor="tensorrt_rtx").manifest
    assert made.options == {
        "memory_pools": {"tactic_dram": 1 << 30},
        "sparsity": True,
        "tf32": False,
        "tactic_sources": ["jit_convolutions"],
        "weight_streaming": True,
        "strongly_typed": True,
        "profiling_verbosity": "none",
        "preview_features": {"aliased_plugin_io_10_03": True},
    }
    assert made.layer_precisions is None


@needs_rtx
def test_a_plugin_that_is_none_says_why(tmp_path):
    path = tmp_path / "libops.so"
    path.write_bytes(b"no library")
    with pytest.raises(PluginMissingError, match=r"libops.so cannot be loaded: .*file too short|invalid ELF"):
        build(conv_net(), profiles=[PROFILE], config=BuildConfig(plugins=(path,)), flavor="tensorrt_rtx")


@needs_rtx
@pytest.mark.skipif(bool(gpus()), reason="there is a GPU")
def test_refittable_engines_of_rtx_want_a_gpu():
    with pytest.raises(BuildError, match="CUDA_SUCCESS") as caught:
        build(conv_net(), profiles=[PROFILE], config=BuildConfig(refit="identical"), flavor="tensorrt_rtx")
    assert caught.value.hint.startswith("the library wants a GPU for this: leave refit out")


@needs_rtx
def test_progress_is_told():
    told = []
    build(
        conv_net(), profiles=[PROFILE], flavor="tensorrt_rtx", on_progress=lambda *steps: told.append(steps)
    )
    done = [steps for steps, _ in told]
    assert done == sorted(set(done))
    assert {total for _, total in told} == {100}
    assert 0 < done[0] < done[-1] == 100


@needs_rtx
def test_a_build_that_failed_leaves_the_next_its_own_log():
    with pytest.raises(BuildError, match="within workspace"):
        build(conv_net(), profiles=[PROFILE], config=BuildConfig(workspace_bytes=1), flavor="tensorrt_rtx")
    assert build(conv_net(), profiles=[PROFILE], flavor="tensorrt_rtx").manifest.warnings == ()


def test_what_an_engine_cannot_run_on_has_names():
    assert cannot_run_on(("8.0", "8.6", "8.9", "12.0+")) == (
        "7.0 (V100)",
        "7.5 (T4, RTX 20)",
        "9.0 (H100, H200)",
        "10.0 (B200, GB200)",
        "10.3 (B300, GB300)",
    )
    assert cannot_run_on(("8.0+",)) == ("7.0 (V100)", "7.5 (T4, RTX 20)")
