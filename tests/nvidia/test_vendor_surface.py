"""Every name of NVIDIA's that the code uses exists in every version that reaches the line."""

import ast
from pathlib import Path

import pytest

from tests.nvidia.vendor_surface import DATA, FLAVORS, PACKAGE, has, surface, uses
from trtforge.engine.config import BuildConfig
from trtforge.errors import ConfigError
from trtforge.nvidia.options import (
    _REFIT_FLAGS,
    ALL,
    BY_FIELD,
    CHOICES_OF,
    OPTIONS,
    apply_options,
    check_options,
)
from trtforge.nvidia.selection import flavor_for

SOURCES = sorted(PACKAGE.glob("*.py"))
# One flavor for each generation.
GENERATIONS = {flavor.generation: flavor for flavor in reversed(FLAVORS)}
# Names that the vendor's modules have where the library does not act on them, or not in every release.
UNUSED = {
    "timing_cache",
    "version_compatible",
    "exclude_lean_runtime",
    "hardware_compatibility",
    "memory_pools",
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_what_the_code_names_exists(path):
    missing = [
        f"{use} is not in {flavor}"
        for use in uses(path)
        for flavor in use.flavors
        if not has(surface(flavor), use.owner, use.member)
    ]
    assert missing == []


def test_the_reader_sees_what_it_should(tmp_path):
    source = tmp_path / "made.py"
    source.write_text(
        "def f(flavor, trt, network, tensor):\n"
        "    trt.BuilderFlag.FP16\n"
        "    if flavor.has_debug_tensors:\n"
        "        network.mark_debug(tensor)\n"
        "        return\n"
        "    network.mark_output(tensor)\n"
        "    network.nonsense\n"
    )
    found = {str(use).partition(": ")[2]: {str(f) for f in use.flavors} for use in uses(source)}
    everyone = {str(flavor) for flavor in FLAVORS}
    assert found == {
        "BuilderFlag": everyone,
        "BuilderFlag.FP16": everyone,
        "INetworkDefinition.mark_debug": everyone - {"tensorrt 8.6.0"},
        "INetworkDefinition.mark_output": {"tensorrt 8.6.0"},
        "INetworkDefinition.nonsense": {"tensorrt 8.6.0"},
    }
    v8, rtx = FLAVORS[0], FLAVORS[-1]
    assert has(surface(v8), "BuilderFlag", "FP16")
    assert not has(surface(rtx), "BuilderFlag", "FP16")
    assert not has(surface(v8), "INetworkDefinition", "nonsense")


def test_the_code_is_really_read():
    names = {str(use).partition(": ")[2] for path in SOURCES for use in uses(path)}
    assert names >= {
        "Builder.build_serialized_network",
        "BuilderFlag.INT8",
        "ICudaEngine.create_execution_context",
        "IExecutionContext.execute_async_v3",
        "IProgressMonitor",
        "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
        "Runtime.get_engine_validity",
    }
    assert len(names) > 60


def test_methods_that_the_library_calls_back_exist():
    unknown = []
    # Some bindings list no methods of a class to be derived from; there is nothing to check against then.
    bare = {
        name
        for flavor in FLAVORS
        for name, entry in surface(flavor).items()
        if name != "__version__" and set(entry.get("members", {})) == {"__init__"}
    }
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            for base in node.bases if isinstance(node, ast.ClassDef) else []:
                if not ast.unparse(base).startswith("trt."):
                    continue
                owner = ast.unparse(base).removeprefix("trt.")
                if owner in bare:
                    continue
                defined = [item.name for item in node.body if isinstance(item, ast.FunctionDef)]
                unknown += [
                    f"{path.name}: {owner}.{name}"
                    for name in defined
                    if not name.startswith("_") and not any(has(surface(f), owner, name) for f in FLAVORS)
                ]
    assert unknown == []


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_an_option_is_in_the_libraries_that_are_said_to_have_it(option):
    for generation, flavor in GENERATIONS.items():
        names = surface(flavor)
        there = all(has(names, *name.split(".")) for name in option.sets)
        if generation in option.have:
            assert there, f"{flavor} lacks {option.sets}"
        elif option.name not in UNUSED:
            assert not there, f"{flavor} has {option.sets}"
        for choice, have in option.choices.items():
            owner = CHOICES_OF.get(option.name, "BuilderFlag")
            member = _REFIT_FLAGS[choice] if option.name == "refit" else choice.upper()
            if generation in have:
                assert has(names, owner, member), f"{flavor} lacks {owner}.{member}"
            elif option.name not in UNUSED:
                assert not has(names, owner, member), f"{flavor} has {owner}.{member}"


def test_no_choice_of_the_libraries_is_forgotten():
    for name, owner in CHOICES_OF.items():
        known = {choice.upper() for choice in BY_FIELD[name].choices}
        offered = set().union(*(surface(flavor)[owner]["members"] for flavor in FLAVORS))
        # A pool of its own field, no choice at all, and older words for the same.
        assert offered - known <= {"WORKSPACE", "NONE", "DEFAULT", "VERBOSE"}, owner


def test_every_option_is_a_setting():
    assert set(BY_FIELD) <= set(BuildConfig.__dataclass_fields__)
    rest = set(BuildConfig.__dataclass_fields__) - set(BY_FIELD)
    assert rest == {
        "precision", "weight_block_size", "calibrator", "calibration_cache", "require_precision",
    }  # fmt: skip
    assert set(ALL) == set(GENERATIONS)
    assert {path.stem for path in DATA.glob("*.json")} == {f"{f.name}-{f.version}" for f in FLAVORS}


@pytest.mark.parametrize(
    ("library", "version", "options", "message"),
    [
        (
            "tensorrt",
            "8.6.0",
            {"strip_weights": True, "refit": "any"},
            "strip_weights: tensorrt 8.6.0 has no such option, TensorRT 10 and TensorRT 11 and",
        ),
        (
            "tensorrt",
            "8.6.0",
            {"refit": "identical"},
            "refit: tensorrt 8.6.0 has no 'identical', TensorRT 10 and TensorRT 11 and TensorRT-RTX 1 have",
        ),
        (
            "tensorrt",
            "11.4.0",
            {"tactic_sources": ("cudnn",)},
            "tactic_sources: tensorrt 11.4.0 has no 'cudnn', TensorRT 8.6 and TensorRT 10 have",
        ),
        (
            "tensorrt",
            "11.4.0",
            {"compute_capabilities": ("8.9",)},
            "compute_capabilities: tensorrt 11.4.0 has no such option, TensorRT-RTX 1 has",
        ),
        (
            "tensorrt_rtx",
            "1.7.1",
            {"hardware_compatibility": "ampere_plus"},
            "hardware_compatibility: tensorrt_rtx 1.7.1 has no such option, TensorRT 8.6",
        ),
        (
            "tensorrt",
            "10.16.1",
            {"preview_features": {"faster_dynamic_shapes_0805": True}},
            "preview_features: tensorrt 10.16.1 has no 'faster_dynamic_shapes_0805', TensorRT 8.6 has",
        ),
        (
            "tensorrt",
            "10.16.1",
            {"weight_streaming": True},
            "weight_streaming: tensorrt 10.16.1 streams the weights of strongly typed networks alone",
        ),
    ],
)
def test_what_a_version_lacks_is_an_error_that_says_who_has_it(library, version, options, message):
    asked = BuildConfig(**options).asked()
    assert asked == options
    with pytest.raises(ConfigError) as caught:
        check_options(flavor_for(library, version), asked)
    assert caught.value.message.startswith(message)
    assert caught.value.hint
    assert set(caught.value.settings) & set(options)


class Enumeration:
    """Every attribute is its own name; those of ``lacking`` are missing."""

    def __init__(self, name, lacking=()):
        self._name, self._lacking = name, lacking

    def __getattr__(self, member):
        if member in self._lacking:
            raise AttributeError(f"type object {self._name!r} has no attribute {member!r}")
        return Member(f"{self._name}.{member}")


class Member(str):
    def __int__(self):
        return {"TacticSource.EDGE_MASK_CONVOLUTIONS": 3, "TacticSource.JIT_CONVOLUTIONS": 4}[self]


class Library:
    def __init__(self, lacking=()):
        self._lacking = lacking

    def __getattr__(self, name):
        return Enumeration(name, self._lacking)


class Config:
    def __init__(self):
        object.__setattr__(self, "calls", [])

    def __setattr__(self, name, value):
        self.calls.append((name, value))

    def __getattr__(self, name):
        return lambda *values: self.calls.append((name, *values)) or True


def test_options_reach_the_builder_config():
    config = BuildConfig(
        optimization_level=1,
        workspace_bytes=1 << 30,
        memory_pools={"tactic_dram": 7},
        sparsity=True,
        tf32=False,
        tactic_sources=("edge_mask_convolutions", "jit_convolutions"),
        refit="identical",
        strip_weights=True,
        version_compatible=True,
        exclude_lean_runtime=True,
        hardware_compatibility="ampere_plus",
        aux_streams=0,
        profiling_verbosity="none",
        preview_features={"profile_sharing_0806": False},
    )
    made = Config()
    apply_options(flavor_for("tensorrt", "10.16.1"), Library(), made, config.asked())
    assert made.calls == [
        ("builder_optimization_level", 1),
        ("set_memory_pool_limit", "MemoryPoolType.WORKSPACE", 1 << 30),
        ("set_memory_pool_limit", "MemoryPoolType.TACTIC_DRAM", 7),
        ("set_flag", "BuilderFlag.SPARSE_WEIGHTS"),
        ("clear_flag", "BuilderFlag.TF32"),
        ("set_tactic_sources", 0b11000),
        ("set_flag", "BuilderFlag.REFIT_IDENTICAL"),
        ("set_flag", "BuilderFlag.STRIP_PLAN"),
        ("set_flag", "BuilderFlag.VERSION_COMPATIBLE"),
        ("set_flag", "BuilderFlag.EXCLUDE_LEAN_RUNTIME"),
        ("hardware_compatibility_level", "HardwareCompatibilityLevel.AMPERE_PLUS"),
        ("max_aux_streams", 0),
        ("profiling_verbosity", "ProfilingVerbosity.NONE"),
        ("set_preview_feature", "PreviewFeature.PROFILE_SHARING_0806", False),
    ]


def test_what_one_release_of_a_generation_lacks_is_an_error_too():
    with pytest.raises(ConfigError, match=r"tensorrt 10.0.1 lacks it, though other releases of TensorRT 10"):
        apply_options(
            flavor_for("tensorrt", "10.0.1"), Library({"STRIP_PLAN"}), Config(), {"strip_weights": True}
        )


def test_the_documentation_names_every_option():
    page = (Path(__file__).parents[2] / "docs" / "building.md").read_text()
    assert [name for name in BY_FIELD if f"`{name}`" not in page] == []


def test_weights_are_streamed_where_the_network_is_strongly_typed():
    asked = BuildConfig(weight_streaming=True, strongly_typed=True).asked()
    check_options(flavor_for("tensorrt", "10.16.1"), asked)
    check_options(flavor_for("tensorrt", "11.4.0"), BuildConfig(weight_streaming=True).asked())
