"""Build FP16 and INT8, time both at the profiles' shapes, and keep INT8 only where it wins."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trtforge._progress import OnProgress
from trtforge.assignment import find_groups
from trtforge.calibration import Observations
from trtforge.engine import BuildConfig, Engine, build
from trtforge.engine.precision import observed_magnitudes
from trtforge.engine.race import Verdict, Way, race
from trtforge.errors import BuildError
from trtforge.graph import Attention, KeepFloat, prepare, to_float16_around_quantizers
from trtforge.nvidia import Flavor
from trtforge.pipeline.engine_timing import (
    TimePair,
    Untimed,
    check_no_precision,
    end_feeds,
    require_running,
    require_timing_gpu,
    timer_on_gpu,
    tuned_feed,
    tuned_feeds,
)
from trtforge.pipeline.lowering import lower
from trtforge.pipeline.quantization import quantize, rest_for
from trtforge.profiles import OptimizationProfile
from trtforge.ratios import Ratios
from trtforge.scales import Scales

if TYPE_CHECKING:
    import onnx

_DEFAULT_LEVEL = 3
# What `compile` can be asked for where nothing can be timed.
ONE_PRECISION = Untimed("ask for int8 or float16", "precision")


@dataclass(frozen=True)
class Fastest:
    """The engine that won, and the story.

    Parameters
    ----------
    engine : its manifest's option ``fastest`` is the story.
    network : what it was built from.
    verdict : what was tried, and why this was kept.
    """

    engine: Engine
    network: onnx.ModelProto
    verdict: Verdict


def build_fastest(
    source: onnx.ModelProto,
    scales: Scales,
    *,
    profiles: Sequence[OptimizationProfile],
    flavor: Flavor,
    config: BuildConfig | None = None,
    exclude: Sequence[str] = (),
    keep_float: KeepFloat = "none",
    attention: Attention = "float",
    keep_float32: Sequence[str] = (),
    observations: Observations | None = None,
    cache_scales: Scales | None = None,
    margin: float = 0.02,
    most_loss: float = 0.05,
    max_builds: int = 12,
    on_progress: OnProgress | None = None,
    build_engine: Callable[..., Engine] = build,
    time_pair: TimePair | None = None,
) -> Fastest:
    """Build a network in FP16 and in several ways with INT8, and keep the fastest.

    Each engine is timed in turns with that in FP16, at the shape that each profile is tuned for and at its
    smallest and largest. `trtforge.engine.race.race` decides; ties go to FP16. Accuracy is not judged here.

    Parameters
    ----------
    source : the float32 network.
    scales : its INT8 ranges.
    profiles : the shapes to accept.
    flavor : the library.
    config : how to build, without a precision.
    exclude, keep_float, attention, keep_float32, observations : as for `trtforge.quantize`.
    cache_scales : ranges of all that a calibration cache covers, of `observe` with ``tensors="cache"``;
        where they are left out ``scales`` go into the cache, and TensorRT 8.6 leaves a layer in FP16 that
        they do not cover.
    margin : what INT8 must gain where profiles are tuned for, a share of the time.
    most_loss : what it may lose at their smallest and largest shapes, a share of the time.
    max_builds : most engines with INT8 to be built.
    on_progress : called with engines built, and how many it will be at most.
    build_engine, time_pair : what builds and what times; by default `trtforge.build`, and sessions here.

    Raises
    ------
    NoGpuError : there is no GPU to time engines on.
    ConfigError : the library's engines do not run on the GPU here, a bound is out of range, or ``config`` has
        a precision.
    BuildError : not even FP16 can be built.
    """
    check_no_precision(config)
    config = config or BuildConfig()
    if time_pair is None:
        require_timing_gpu(ONE_PRECISION)
    typed = flavor.strongly_typed_only
    half = network_in_half(source, flavor, keep_float32=keep_float32, observations=observations)
    settings = {"profiles": profiles, "flavor": flavor}
    baseline = build_engine(half, config=replace(config, precision="float16"), **settings)
    if time_pair is None:
        require_running(baseline, flavor, ONE_PRECISION)
    engines: dict[Way, tuple[Engine, onnx.ModelProto]] = {}
    groups = find_groups(
        prepare(source),
        tuned_feed(source, profiles[0] if profiles else None, "min"),
        by="block",
        exclude=exclude,
        attention=attention,
    )
    tuned, ends = tuned_feeds(source, profiles), end_feeds(source, profiles)
    num_built = 1
    # What is known of whole Q/DQ networks by optimization level, so that none is built twice.
    measured: dict[object, Ratios] = {}
    failed: dict[object, str] = {}

    def measure(way: Way) -> Ratios:
        nonlocal num_built
        level = way.settings.get("optimization_level") if not way.float_blocks else None
        if level in measured:
            return measured[level]
        if level in failed:
            raise BuildError(failed[level])
        kept = [
            glob.escape(node) for group in groups if group.name in way.float_blocks for node in group.nodes
        ]
        chosen = replace(config, **{**way.settings, "precision": "int8"})
        if way.by_cache:
            network = prepare(source)
        else:
            network = quantize(
                source,
                scales,
                rest=rest_for(flavor),
                exclude=[*exclude, *kept],
                keep_float=keep_float,
                attention=attention,
                keep_float32=keep_float32,
                observations=observations if typed else None,
            )
        if way.typed_rest:
            network = to_float16_around_quantizers(
                network, magnitudes=observed_magnitudes(observations, source)
            )
        try:
            given = cache_scales if way.by_cache and cache_scales is not None else scales
            engine = build_engine(network, config=chosen, scales=given, **settings)
        except BuildError as error:
            if way == ways[0]:
                failed.update(dict.fromkeys(flavor.other_levels, error.message))
            raise
        finally:
            num_built += 1
            if on_progress is not None:
                on_progress(num_built, max_builds + 1)
        engines[way] = engine, network
        timings = (time_pair or timer_on_gpu(tuned | ends))(baseline, engine)
        ratios = {shape: found.ratios for shape, found in timings.items()}
        if way == ways[0]:
            # Where the library found no implementation at its default level, others were tried on the way.
            taken = engine.manifest.options.get("way")
            levels = {f"optimization level {level}": level for level in flavor.other_levels}
            for entry in engine.manifest.options.get("tried", ()):
                if entry["way"] in levels:
                    failed[levels[entry["way"]]] = entry["error"]
            if taken in levels:
                measured[levels[taken]] = ratios
        return ratios

    # A calibration cache cannot leave layers in floating point.
    by_cache = not exclude and keep_float == "none" and attention == "float"
    ways = ways_of(flavor, config, by_cache=by_cache)
    verdict = race(
        ways,
        [group.name for group in groups],
        measure,
        ends=ends,
        margin=margin,
        most_loss=most_loss,
        max_builds=max_builds,
    )
    engine, network = (baseline, half) if verdict.chosen is None else engines[_first_like(verdict, engines)]
    options = {**engine.manifest.options, "fastest": verdict.to_json()}
    return Fastest(replace(engine, manifest=replace(engine.manifest, options=options)), network, verdict)


def network_in_half(
    source: onnx.ModelProto,
    flavor: Flavor,
    *,
    keep_float32: Sequence[str] = (),
    observations: Observations | None = None,
) -> onnx.ModelProto:
    """Return what a library is given to build FP16 of: typed so, or as it is for a builder flag."""
    if flavor.strongly_typed_only:
        return lower(source, "float16", keep_float32=keep_float32, observations=observations)
    return prepare(source)


def _first_like(verdict: Verdict, engines: Mapping[Way, object]) -> Way:
    """Return the way that was built for the chosen trial: its own, or the first, where that is the same."""
    assert verdict.chosen is not None  # noqa: S101 - narrows the type
    return verdict.chosen.way if verdict.chosen.way in engines else verdict.trials[0].way


def ways_of(flavor: Flavor, config: BuildConfig, *, by_cache: bool = True) -> tuple[Way, ...]:
    """List the ways in which a library can be given a network with INT8.

    Parameters
    ----------
    flavor : the library.
    config : how to build; a level that it names is the only one.
    by_cache : whether a calibration cache will do, as it does where all layers are INT8.
    """
    ways = [Way("Q/DQ")]
    if flavor.has_precision_flags:
        ways.append(Way("Q/DQ, the rest typed FP16", typed_rest=True))
        ways.append(Way("Q/DQ, the rest preferred in FP16", {"prefer_float16": True}))
    if flavor.has_calibrators and by_cache:
        ways.append(Way("scales as a calibration cache", by_cache=True))
    if config.optimization_level is None:
        # The library's default, 3, is what the first way takes.
        levels = [level for level in flavor.other_levels if level != _DEFAULT_LEVEL]
        ways += [Way(f"Q/DQ, optimization level {level}", {"optimization_level": level}) for level in levels]
    return tuple(ways)
