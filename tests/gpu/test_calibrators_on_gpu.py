"""Calibrate with TensorRT itself and with our cache; skipped where `trtforge.nvidia` finds no calibrators."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.native_calibrator import bins
from benchmarks.native_calibrator.compare import FLAT
from benchmarks.native_calibrator.divergence import excess_divergence
from trtforge._optional import is_installed
from trtforge.audio import ClipSet, LogMel
from trtforge.calibration import (
    cache_from_scales,
    cache_header,
    cache_tensors,
    choose,
    collect,
    parser_names,
    read_calibration_cache,
)
from trtforge.engine import BuildConfig, build
from trtforge.engine.calibration_batches import batches_of_shape
from trtforge.feeds import ArrayFeeds
from trtforge.graph import prepare
from trtforge.model import load_model, model_inputs
from trtforge.nvidia import available, gpus
from trtforge.nvidia.log import listen, logger_of
from trtforge.nvidia.tensor_names import tensor_names
from trtforge.profiles import OptimizationProfile
from trtforge.runtime import OnnxRunner, Session

ROOT = Path(__file__).parents[2]
INT8 = BuildConfig(precision="int8")
NUM_CLIPS, BATCH, FRAMES = 32, 4, 512


def _flavor():
    return next((flavor for flavor in available() if flavor.has_calibrators), None)


def _why_not():
    if not gpus():
        return "CUDA finds no GPU"
    if _flavor() is None:
        return "no TensorRT with calibrators is installed"
    needed = ("cuda.bindings.runtime", "onnxruntime", "numba", "soundfile")
    missing = [module for module in needed if not is_installed(module)]
    return f"{', '.join(missing)} not installed" if missing else None


pytestmark = pytest.mark.skipif(_why_not() is not None, reason=str(_why_not()))


@pytest.fixture(scope="module")
def network():
    return prepare(load_model(ROOT / "examples/models/asr_en/asr_en.onnx"))


@pytest.fixture(scope="module")
def profile(network):
    (mel,) = model_inputs(network)
    bins = mel.shape[1]
    return OptimizationProfile({mel.name: ((1, bins, 64), (BATCH, bins, FRAMES), (BATCH, bins, FRAMES))})


@pytest.fixture(scope="module")
def feeds(network, profile):
    """The same batches for both calibrators, none of them padded."""
    clips = ClipSet.load(ROOT / "calibration_sets/podcast_en").feeds(LogMel.for_model(network))
    shapes = {name: ranges.opt for name, ranges in profile.shapes.items()}
    batches = batches_of_shape(clips, model_inputs(network), shapes)
    return ArrayFeeds([batch for batch, _ in zip(batches, range(NUM_CLIPS // BATCH), strict=False)])


@pytest.fixture(scope="module")
def native(network, profile, feeds):
    """The engine that TensorRT calibrated by itself, and the cache that it wrote."""
    written = []
    engine = build(
        network,
        profiles=[profile],
        config=INT8,
        flavor=_flavor(),
        feeds=feeds,
        on_calibration_cache=written.append,
    )
    (content,) = written
    return engine, read_calibration_cache(content)


@pytest.fixture(scope="module")
def observations(network, feeds):
    return collect(network, feeds, cache_tensors(network))


@pytest.fixture(scope="module")
def scales(observations):
    return choose(observations, "entropy")


@pytest.fixture(scope="module")
def parsed_names(network):
    flavor = _flavor()
    trt = flavor.module()
    listen()
    logger = logger_of(trt)
    builder = trt.Builder(logger)
    parsed = builder.create_network(flavor.network_flags(trt))
    parser = trt.OnnxParser(parsed, logger)
    assert parser.parse(network.SerializeToString())
    return tensor_names(parsed, cache_tensors(network))


def test_the_native_cache_round_trips_and_has_our_header(native):
    _, cache = native
    assert cache.header == cache_header(_flavor().version, "entropy")
    assert read_calibration_cache(cache.dumps()).dumps() == cache.dumps()


def test_the_predicted_names_are_the_parsers(network, parsed_names):
    if not _flavor().needs_explicit_batch_flag:
        pytest.skip("the prediction is of TensorRT 8.6")
    predicted = parser_names(network)
    made = {name: own for name, own in parsed_names.items() if name != own}
    assert made == {name: own for name, own in predicted.items() if name != own}


def test_every_activation_of_the_native_cache_has_a_scale_of_ours(native, scales, parsed_names):
    _, cache = native
    ours = cache_from_scales(scales, cache.header, names=parsed_names)
    missing = [name for name in cache.scales if name not in ours and "[Constant]" not in name]
    assert [name for name in missing if not name.startswith("(Unnamed")] == []


def test_over_tensorrts_bins_our_search_gives_its_thresholds(network, feeds, native, observations):
    _, cache = native
    batches = [feed.arrays for feed in feeds]
    first = collect(network, ArrayFeeds(batches[:1]), cache_tensors(network))
    counted = bins.count_bins(network, batches, first, observations)
    shared = [name for name in cache.scales if name in counted]
    assert len(shared) >= 25
    off = {
        name: abs(cache.scales[name] * 127 - counted[name].amax("as_second")) / counted[name].bin_width
        for name in shared
    }
    others = {name: round(value, 3) for name, value in off.items() if value > bins.MAX_BINS_OFF}
    assert len(others) <= 0.1 * len(shared), f"{len(others)} of {len(shared)} differ, in bins: {others}"
    # Where the divergence is flat, the rounding of the library's arithmetic decides.
    costs = {
        name: excess_divergence(cache.scales[name] * 127, counted[name].counts, counted[name].bin_width)
        for name in others
    }
    assert all(cost is not None and cost <= FLAT for cost in costs.values()), costs


def test_our_thresholds_whatever_the_order_are_near_tensorrts(native, scales):
    _, cache = native
    ratios = {name: cache.scales[name] * 127 / scales[name].amax for name in cache.scales if name in scales}
    assert len(ratios) >= 25
    assert {name: round(ratio, 3) for name, ratio in ratios.items() if not 0.7 < ratio < 1.4} == {}


def test_an_engine_from_our_scales_alone_is_as_good_as_a_native_one(network, profile, feeds, native, scales):
    engine, _ = native
    ours = build(network, profiles=[profile], config=INT8, flavor=_flavor(), scales=scales)
    counts = [(made.manifest.layer_precisions or {}).get("int8", 0) for made in (ours, engine)]
    convolutions = sum(node.op_type == "Conv" for node in network.graph.node)
    assert counts[0] >= counts[1] >= convolutions, (
        f"{counts} layers in INT8, ours and TensorRT's, of a network of {convolutions} convolutions; "
        f"told: {ours.manifest.layer_precisions}, {engine.manifest.layer_precisions}"
    )
    arrays = next(iter(feeds)).arrays
    with OnnxRunner(network) as reference:
        (wanted,) = reference.run(arrays).values()
    errors = []
    for candidate in (ours, engine):
        with Session(candidate) as session:
            (got,) = session.run(arrays).values()
        errors.append(float(np.sqrt(np.mean((got - wanted) ** 2))))
        assert np.mean(got.argmax(-1) == wanted.argmax(-1)) > 0.95
    assert errors[0] < 1.25 * errors[1]


def test_a_cache_alone_gives_the_same_answers_as_the_scales(network, profile, feeds, scales, parsed_names):
    flavor = _flavor()
    cache = cache_from_scales(scales, cache_header(flavor.version, "entropy"), names=parsed_names)
    config = BuildConfig(precision="int8", calibration_cache=cache.dumps())
    arrays = next(iter(feeds)).arrays
    answers = []
    for settings in ({"config": INT8, "scales": scales}, {"config": config}):
        with Session(build(network, profiles=[profile], flavor=flavor, **settings)) as session:
            (answer,) = session.run(arrays).values()
            answers.append(answer.argmax(-1))
    assert np.mean(answers[0] == answers[1]) > 0.99


def test_minmax_calibrates_too(network, profile, feeds, scales):
    written = []
    config = BuildConfig(precision="int8", calibrator="minmax")
    build(
        network,
        profiles=[profile],
        config=config,
        flavor=_flavor(),
        feeds=feeds,
        on_calibration_cache=written.append,
    )
    cache = read_calibration_cache(written[0])
    assert cache.algorithm == "minmax"
    ratio = cache.scales["mel"] * 127 / scales["mel"].observed_max
    assert ratio == pytest.approx(1, abs=0.01)


def test_an_exception_in_a_batch_surfaces_from_the_real_library(network, profile, feeds):
    class Broken(ArrayFeeds):
        def __iter__(self):
            yield next(super().__iter__())
            raise OSError("the disk is gone")

    broken = Broken([feed.arrays for feed in feeds])
    with pytest.raises(OSError, match="the disk is gone"):
        build(network, profiles=[profile], config=INT8, flavor=_flavor(), feeds=broken)
