import numpy as np
import pytest

from tests.engine import fake_builder
from tests.engine.networks import PROFILE, conv_net
from trtforge._files import sha256
from trtforge.calibration import CalibrationCache, read_calibration_cache, write_calibration_cache
from trtforge.engine import BuildConfig, build
from trtforge.errors import CalibrationCacheError, CalibrationError, ConfigError
from trtforge.feeds import ArrayFeeds
from trtforge.nvidia.selection import flavor_for
from trtforge.scales import Scales, TensorScale

V8 = flavor_for("tensorrt", "8.6.0")
INT8 = BuildConfig(precision="int8")
SCALES = Scales(
    {"mel": TensorScale(127.0, 127.0), "r1": TensorScale(254.0, 254.0)}, "entropy", "a" * 64, "b" * 64, 3
)
CACHE = CalibrationCache("TRT-8600-EntropyCalibration2", {"mel": 1.0, "logits": 2.0})


@pytest.fixture
def library(monkeypatch):
    fake, driver = fake_builder.install(monkeypatch)
    yield fake
    assert driver.memory == {}


def feeds(*lengths):
    return ArrayFeeds([{"mel": np.full((1, 4, n), n, np.float32)} for n in lengths])


def int8(*, flavor=V8, config=INT8, model=None, **carrier):
    return build(model or conv_net(), profiles=[PROFILE], config=config, flavor=flavor, **carrier)


def config(**settings):
    return BuildConfig(precision="int8", **settings)


def test_scales_reach_the_library_as_a_cache_under_the_parsers_names(library):
    engine = int8(scales=SCALES)
    given = read_calibration_cache(library.given_cache)
    assert given.header == "TRT-8600-EntropyCalibration2"
    assert given.scales == {
        "mel": 1.0,
        "(Unnamed Layer* 0) [made]_output": 1.0,
        "r1": 2.0,
        "(Unnamed Layer* 4) [made]_output": 2.0,
    }
    assert (library.batches, library.flags) == ([], ["FP16", "INT8"])
    assert engine.manifest.precision == "int8"
    assert engine.manifest.layer_precisions == {"int8": 1}
    assert len(engine.manifest.scales_sha256) == 64


def test_the_header_is_of_the_version_and_calibrator_asked_for(library):
    int8(scales=SCALES, flavor=flavor_for("tensorrt", "10.16.1.11"), config=config(calibrator="minmax"))
    assert library.given_cache.startswith(b"TRT-101601-MinMaxCalibration\nmel: 3f800000\n")


def test_a_cache_is_passed_on_byte_for_byte(library):
    engine = int8(config=config(calibration_cache=CACHE.dumps()))
    assert library.given_cache == CACHE.dumps()
    assert engine.manifest.options == {
        "precision": "int8",
        "calibration_cache": sha256(CACHE.dumps()),
    }
    assert engine.manifest.scales_sha256 is None


def test_entries_of_other_networks_are_dropped_with_a_warning(library):
    cache = CalibrationCache(CACHE.header, {**CACHE.scales, "stale": 1.0})
    with pytest.warns(RuntimeWarning, match="1 of 3 tensors of the calibration cache are not .* 'stale'"):
        int8(config=config(calibration_cache=cache.dumps()))
    assert library.given_cache == CACHE.dumps()
    stale = CalibrationCache(CACHE.header, {"stale": 1.0})
    with pytest.raises(CalibrationCacheError, match="none of the 1 tensors"):
        int8(config=config(calibration_cache=stale.dumps()))


@pytest.mark.parametrize(
    ("version", "settings", "message"),
    [
        (
            "8.6.1",
            {},
            "begins with 'TRT-8600-Entropy.*', tensorrt 8.6.1 takes 'TRT-8601-EntropyCalibration2'",
        ),
        ("10.16.1", {}, "tensorrt 10.16.1 takes 'TRT-101601-EntropyCalibration2' alone"),
        ("8.6.0", {"calibrator": "minmax"}, "tensorrt 8.6.0 takes 'TRT-8600-MinMaxCalibration' alone"),
    ],
)
def test_a_cache_of_another_version_or_calibrator_is_stale(library, version, settings, message):
    with pytest.raises(CalibrationCacheError, match=message):
        int8(
            flavor=flavor_for("tensorrt", version),
            config=config(calibration_cache=CACHE.dumps(), **settings),
        )


def test_a_malformed_cache_is_refused_before_anything_is_built(library):
    with pytest.raises(CalibrationCacheError, match="line 2: wanted"):
        int8(config=config(calibration_cache=b"TRT-8600-EntropyCalibration2\nmel\n"))
    assert not hasattr(library, "network")


def test_feeds_reach_the_native_calibrator_at_the_optimal_shape(library):
    written = []
    clips = feeds(32, 64, 10)
    engine = int8(feeds=clips, on_calibration_cache=written.append)
    # The second clip gives two rows; the four rows make two batches of two.
    assert [set(batch[:, 0, 0]) for batch in library.batches] == [{32.0, 64.0}, {64.0, 10.0}]
    assert {batch.shape for batch in library.batches} == {(2, 4, 32)}
    assert library.given_cache is None
    assert written == [library.native_cache]
    assert engine.manifest.options == {"precision": "int8", "calibration_feeds": clips.digest}


def test_an_exception_in_a_batch_is_raised_although_the_library_built(library):
    class Broken(ArrayFeeds):
        def __iter__(self):
            yield from list(super().__iter__())[:1]
            raise OSError("the disk is gone")

    written = []
    broken = Broken([{"mel": np.zeros((2, 4, 32), np.float32)}] * 3)
    with pytest.raises(OSError, match="the disk is gone"):
        int8(feeds=broken, on_calibration_cache=written.append)
    assert len(library.batches) == 1
    assert written == []


def test_a_clip_that_is_not_finite_is_named(library):
    bad = np.zeros((1, 4, 32), np.float32)
    bad[0, 1, 2] = np.nan
    with pytest.raises(
        CalibrationError, match="input 'mel' of clips batch-1 holds values that are not finite"
    ):
        int8(feeds=[{"mel": np.zeros_like(bad)}, {"mel": bad}])


@pytest.mark.parametrize(("name", "version"), [("tensorrt", "11.4.0"), ("tensorrt_rtx", "1.7.1.116")])
@pytest.mark.parametrize("carrier", ["feeds", "scales", "calibration_cache"])
def test_a_library_without_calibrators_says_which_has_them(name, version, carrier):
    settings = {"calibration_cache": CACHE.dumps()} if carrier == "calibration_cache" else {}
    given = {"feeds": feeds(32), "scales": SCALES}
    with pytest.raises(
        ConfigError, match=f"by {carrier}; {name} {version} has no calibrators, TensorRT 8.6 and 10 have"
    ) as caught:
        int8(
            flavor=flavor_for(name, version),
            config=config(**settings),
            **({carrier: given[carrier]} if carrier in given else {}),
        )
    assert caught.value.hint.startswith("quantize the network first")


def test_what_would_help_is_said(library):
    with pytest.raises(ConfigError, match="scales or feeds to build, or ask for precision 'float32'"):
        int8()


def test_contradictions_are_refused(library):
    with pytest.raises(ConfigError, match="scales and feeds were given; INT8 scales come from one of them"):
        int8(scales=SCALES, feeds=feeds(32))
    with pytest.raises(ConfigError, match="calibrator='minmax' needs feeds to calibrate on"):
        int8(config=config(calibrator="minmax"))
    with pytest.raises(
        ConfigError, match="feeds was given for a network that holds 'int8', to be built as 'int8'"
    ):
        int8(model=conv_net(quantized=True), feeds=feeds(32))
    with pytest.raises(ConfigError, match="holds 'float32', to be built as 'float32'"):
        int8(config=BuildConfig(), feeds=feeds(32))


def test_a_cache_is_taken_by_path_as_an_object_and_as_content(tmp_path):
    write_calibration_cache(CACHE, tmp_path / "net.cache")
    given = [tmp_path / "net.cache", str(tmp_path / "net.cache"), CACHE, CACHE.dumps()]
    assert {config(calibration_cache=cache) for cache in given} == {config(calibration_cache=CACHE.dumps())}
    with pytest.raises(CalibrationCacheError, match=f"no calibration cache can be read at {tmp_path}/none"):
        config(calibration_cache=tmp_path / "none")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"calibrator": "legacy"}, "calibrator must be one of 'entropy', 'minmax' or None, got 'legacy'"),
        ({"calibration_cache": 3}, "calibration_cache must be a path, a CalibrationCache, or .* got int"),
        ({"calibration_cache": b"", "precision": None}, "calibration_cache needs precision='int8', got None"),
        (
            {"calibrator": "entropy", "precision": "float16"},
            "calibrator needs precision='int8', got 'float16'",
        ),
    ],
)
def test_a_wrong_setting_is_refused_where_it_is_made(values, message):
    with pytest.raises(ConfigError, match=message):
        BuildConfig(**{"precision": "int8", **values})
