"""The race with a real builder and made-up times, and with a stand-in for TensorRT 8.6."""

import json
from dataclasses import replace

import numpy as np
import onnx.parser
import pytest
from onnx import numpy_helper

from tests.bundled import CALIBRATION_SET, MODEL, some_clips
from trtforge.assignment import find_groups
from trtforge.calibration import choose
from trtforge.checks import Timings
from trtforge.engine import BuildConfig, build, network_precision
from trtforge.errors import BuildError, ConfigError, NoGpuError
from trtforge.graph import describe
from trtforge.nvidia import gpus, select
from trtforge.nvidia.selection import flavor_for
from trtforge.pipeline import (
    build_fastest,
    calibrate,
    compile,  # noqa: A004 - the name that is tested
    observe,
)
from trtforge.pipeline.fastest import ways_of
from trtforge.profiles import OptimizationProfile

PROFILE = OptimizationProfile({"x": ((1, 16, 50), (4, 16, 100), (8, 16, 200))})
V8 = flavor_for("tensorrt", "8.6.0")


def network():
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[batch, 16, time] x) => (float[batch, 16, time] y) {
            a = Conv <pads = [1, 1]> (x, w0)
            b = Relu (a)
            y = Conv <pads = [1, 1]> (b, w1)
        }
    """)
    for node, name in zip(model.graph.node, ("block.0", "relu", "block.1"), strict=True):
        node.name = name
    rng = np.random.default_rng(0)
    for name in ("w0", "w1"):
        value = rng.normal(scale=0.2, size=(16, 16, 3)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    return model


@pytest.fixture(scope="module")
def scales():
    x = np.random.default_rng(0).normal(size=(4, 16, 100)).astype(np.float32)
    return calibrate(network(), [{"x": x}], method="max")


def timer(time_of):
    """Time engines by the number of INT8 layers that their proofs count."""

    def time_pair(baseline, candidate):
        assert baseline.manifest.precision == "float16"
        layers = candidate.manifest.proof.layers
        in_int8 = tuple(layer.name for layer in layers if layer.requested == "int8")
        return {"x (4, 16, 100)": Timings((1.0,) * 5, (time_of[in_int8],) * 5)}

    return time_pair


def run(scales, time_of, **more):
    pytest.importorskip("tensorrt_rtx")
    return build_fastest(
        network(),
        scales,
        profiles=[PROFILE],
        flavor=select("tensorrt_rtx"),
        time_pair=timer(time_of),
        **more,
    )


def test_a_network_that_int8_makes_faster_is_int8(scales):
    steps = []
    times = {("block.0", "block.1"): 0.5, ("block.0",): 0.8, ("block.1",): 0.8}
    found = run(scales, times, on_progress=lambda *at: steps.append(at))
    assert found.engine.manifest.precision == "int8"
    assert describe(found.network).counts == {"int8": 2}
    story = found.engine.manifest.options["fastest"]
    assert story["reason"] == "Q/DQ takes 50 % of the time of FP16"
    assert [trial["way"] for trial in story["tried"]] == [
        "Q/DQ", "Q/DQ, INT8 in block.1", "Q/DQ, INT8 in block.0",
    ]  # fmt: skip
    assert steps == [(2, 13), (3, 13), (4, 13)]


def test_one_that_it_makes_slower_is_fp16_with_the_reason(scales):
    times = {("block.0", "block.1"): 1.6, ("block.0",): 1.3, ("block.1",): 1.2}
    found = run(scales, times)
    assert found.engine.manifest.precision == "float16"
    assert found.engine.manifest.options["fastest"]["chosen"] == "FP16"
    assert found.verdict.reason.startswith("FP16: the best of 3 engines with INT8, Q/DQ, INT8 in block.1,")
    assert describe(found.network).counts == {"float16": 2}


def test_the_part_that_wins_is_int8(scales):
    found = run(scales, {("block.0", "block.1"): 1.6, ("block.0",): 1.3, ("block.1",): 0.7})
    assert found.engine.manifest.precision == "int8"
    assert [layer.precision for layer in describe(found.network).layers] == ["float16", "int8"]
    assert found.engine.manifest.options["fastest"]["chosen"] == "Q/DQ, INT8 in block.1"


def test_a_build_that_fails_is_part_of_the_story(scales):
    def build_engine(model, **settings):
        if settings["config"].precision == "int8":
            raise BuildError("Could not find any implementation for node {ForeignNode[a...b]}.")
        return build(model, **settings)

    found = run(scales, {}, build_engine=build_engine)
    assert found.engine.manifest.precision == "float16"
    story = found.engine.manifest.options["fastest"]
    assert story["reason"] == "FP16: none of 3 ways to build with INT8 worked"
    assert "ForeignNode" in story["tried"][0]["error"]


class Eight:
    """Builds with TensorRT-RTX, and behaves as TensorRT 8.6 does where a level has no implementation."""

    def __init__(self, failing):
        self.failing, self.built = failing, []

    def __call__(self, model, **settings):
        config = settings["config"]
        self.built.append((config.precision, config.optimization_level, config.prefer_float16))
        if config.precision == "int8" and config.prefer_float16:
            raise BuildError("no implementation with constraints")
        if config.precision == "int8" and len(self.failing) == 3:
            raise BuildError("no implementation at any level")
        plain = replace(config, optimization_level=None)
        settings |= {"flavor": select("tensorrt_rtx"), "config": plain}
        engine = build(model, **settings)
        if config.precision != "int8" or config.optimization_level is not None or not self.failing:
            return engine
        tried = [
            {"way": f"optimization level {level}", "error": "no implementation"} for level in self.failing
        ]
        way = next(level for level in (3, 1, 4) if level not in self.failing)
        options = {**engine.manifest.options, "way": f"optimization level {way}", "tried": tried}
        return replace(engine, manifest=replace(engine.manifest, options=options))


@pytest.mark.parametrize(("failing", "levels"), [((), [1, 4]), ((3,), [4]), ((3, 1), []), ((3, 1, 4), [])])
def test_no_level_is_built_twice(scales, failing, levels):
    pytest.importorskip("tensorrt_rtx")
    builder = Eight(failing)
    found = build_fastest(
        network(),
        scales,
        profiles=[PROFILE],
        flavor=V8,
        attention="int8",
        max_builds=5,
        build_engine=builder,
        time_pair=lambda baseline, candidate: {"x": Timings((1.0,) * 5, (0.5,) * 5)},
    )
    asked = [level for precision, level, prefers in builder.built if level is not None]
    assert asked == levels
    trials = {trial.way.name: trial for trial in found.verdict.trials}
    assert trials["Q/DQ, the rest preferred in FP16"].error.startswith("no implementation")
    for level in failing:
        if level != 3:
            assert trials[f"Q/DQ, optimization level {level}"].error.startswith("no implementation")
    expected = "float16" if len(failing) == 3 else "int8"
    assert found.engine.manifest.precision == expected


def test_a_calibration_cache_gets_the_ranges_of_all_that_it_covers(scales):
    pytest.importorskip("tensorrt_rtx")
    given = []

    def build_engine(model, **settings):
        given.append((settings["config"].precision, network_precision(model), settings.get("scales")))
        if settings["config"].precision == "int8":
            raise BuildError("only what was given is looked at")
        return build(model, **{**settings, "flavor": select("tensorrt_rtx")})

    x = np.random.default_rng(0).normal(size=(4, 16, 100)).astype(np.float32)
    complete = choose(observe(network(), [{"x": x}], tensors="cache"), "max")
    assert set(scales.tensors) < set(complete.tensors) == {"x", "a", "b", "y"}
    build_fastest(
        network(),
        scales,
        cache_scales=complete,
        profiles=[PROFILE],
        flavor=V8,
        max_builds=4,
        build_engine=build_engine,
        time_pair=lambda baseline, candidate: {},
    )
    assert given == [
        ("float16", "float32", None),
        ("int8", "int8", scales),
        ("int8", "int8", scales),
        ("int8", "int8", scales),
        ("int8", "float32", complete),
    ]


def test_each_library_has_its_ways():
    assert [way.name for way in ways_of(V8, BuildConfig())] == [
        "Q/DQ",
        "Q/DQ, the rest typed FP16",
        "Q/DQ, the rest preferred in FP16",
        "scales as a calibration cache",
        "Q/DQ, optimization level 1",
        "Q/DQ, optimization level 4",
    ]
    assert [way.name for way in ways_of(V8, BuildConfig(optimization_level=2), by_cache=False)] == [
        "Q/DQ",
        "Q/DQ, the rest typed FP16",
        "Q/DQ, the rest preferred in FP16",
    ]
    assert [way.name for way in ways_of(flavor_for("tensorrt", "11.4.0"), BuildConfig())] == ["Q/DQ"]


def test_blocks_of_the_network_are_its_regions():
    x = np.zeros((4, 16, 100), np.float32)
    assert [group.name for group in find_groups(network(), {"x": x}, by="block")] == ["block.0", "block.1"]


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU here")
def test_without_a_gpu_it_is_refused_at_once(scales, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    with pytest.raises(NoGpuError, match="engines are to be timed, and CUDA finds no GPU here"):
        compile(MODEL, CALIBRATION_SET, precision="fastest", output=tmp_path / "out", flavor="tensorrt_rtx")
    with pytest.raises(NoGpuError, match="CUDA finds no GPU here") as caught:
        build_fastest(network(), scales, profiles=[PROFILE], flavor=select("tensorrt_rtx"))
    assert "ask for int8 or float16" in caught.value.hint
    assert caught.value.settings == ("precision",)


def test_a_precision_is_refused_where_both_are_built(scales):
    with pytest.raises(ConfigError, match="the precision of config is 'float32'"):
        run(scales, {}, config=BuildConfig(precision="float32"))


def test_compiling_for_speed_ends_in_an_engine_and_its_story(monkeypatch, tmp_path):
    pytest.importorskip("tensorrt_rtx")

    def time_pair(baseline, candidate):
        in_int8 = sum(layer.requested == "int8" for layer in candidate.manifest.proof.layers)
        return {"mel (4, 80, 500)": Timings((1.0,) * 5, (1.2 - 0.2 * in_int8,) * 5)}

    monkeypatch.setattr("trtforge.pipeline.compilation.require_timing_gpu", lambda instead: None)
    monkeypatch.setattr("trtforge.pipeline.fastest.require_timing_gpu", lambda instead: None)
    monkeypatch.setattr("trtforge.pipeline.engine_timing.can_run", lambda engine: True)
    monkeypatch.setattr("trtforge.pipeline.fastest.timer_on_gpu", lambda feeds: time_pair)
    made = compile(
        MODEL,
        some_clips(CALIBRATION_SET, 2),
        precision="fastest",
        exclude=["blocks.*", "stem.*"],
        method="max",
        flavor="tensorrt_rtx",
        output=tmp_path,
    )
    assert made.engine.manifest.precision == "int8"
    assert describe(made.model).counts == {"float16": 17, "int8": 2}
    assert made.report["fastest"]["reason"] == "Q/DQ takes 80 % of the time of FP16"
    assert len(made.report["fastest"]["tried"]) == 3
    assert "Q/DQ, kept" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "asr_en.int8.onnx").is_file()
    with pytest.raises(ConfigError, match="fastest needs clips to calibrate on, and none were given"):
        compile(MODEL, precision="fastest", flavor="tensorrt_rtx")
    with pytest.raises(ConfigError, match="precision is 'fastest' and that of config is 'int8'"):
        compile(MODEL, CALIBRATION_SET, precision="fastest", config=BuildConfig(precision="int8"))


def test_the_story_is_plain_json(scales):
    found = run(scales, {("block.0", "block.1"): 0.5, ("block.0",): 0.8, ("block.1",): 0.8})
    text = found.engine.manifest.dumps()
    assert json.loads(text)["options"]["fastest"]["tried"][0]["shapes"] == {"x (4, 16, 100)": [0.5, 0.5, 0.5]}
