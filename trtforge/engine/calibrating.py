"""Decide where the INT8 scales of a network without Q/DQ nodes come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trtforge.calibration.cache import Algorithm, cache_header, read_calibration_cache
from trtforge.calibration.carriers import cache_from_scales
from trtforge.engine.calibration_batches import batches_of_shape
from trtforge.engine.config import BuildConfig
from trtforge.engine.precision import network_precision
from trtforge.errors import CalibrationCacheError, ConfigError
from trtforge.feeds import Feeds
from trtforge.model import model_inputs
from trtforge.nvidia import Flavor
from trtforge.nvidia.calibrators import CalibrationRequest, Naming
from trtforge.profiles import OptimizationProfile
from trtforge.scales import Scales

if TYPE_CHECKING:
    import onnx


def carrier_of(config: BuildConfig, scales: Scales | None, feeds: Feeds | None) -> str | None:
    """Name the one argument that INT8 scales come from, or None.

    Raises
    ------
    ConfigError : there are several, or a calibrator that has nothing to work on.
    """
    given = {"calibration_cache": config.calibration_cache, "scales": scales, "feeds": feeds}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ConfigError(f"{' and '.join(names)} were given; INT8 scales come from one of them")
    if config.calibrator is not None and not names:
        raise ConfigError(f"calibrator={config.calibrator!r} needs feeds to calibrate on; none were given")
    return names[0] if names else None


def calibration_request(
    network: onnx.ModelProto,
    flavor: Flavor,
    config: BuildConfig,
    profiles: Sequence[OptimizationProfile],
    scales: Scales | None,
    feeds: Feeds | None,
) -> CalibrationRequest | None:
    """Return what the library calibrates with, or None where the network's own types decide.

    Raises
    ------
    ConfigError : a cache or feeds were given for a network that has Q/DQ nodes, or is not to become INT8.
    CalibrationCacheError : the cache is malformed, or of another library version or calibrator.
    """
    held = network_precision(network)
    if config.precision != "int8" or held != "float32":
        if config.calibration_cache is not None or feeds is not None:
            what = "calibration_cache" if feeds is None else "feeds"
            raise ConfigError(
                f"{what} was given for a network that holds {held!r}, to be built as "
                f"{config.precision or held!r}; only precision='int8' of a float32 network is calibrated",
                hint="leave it out: Q/DQ nodes carry their own scales",
            )
        return None
    if config.cache_content is not None:
        return _from_cache(config.cache_content, config.calibrator, flavor)
    if scales is not None:
        return _from_scales(scales, config.calibrator or "entropy", flavor)
    if feeds is None:
        return None
    decisive = sorted({name for profile in profiles for name in profile.values})
    if decisive:
        raise ConfigError(
            f"the values of inputs {decisive} decide shapes, and the library's own calibrators are not fed "
            "such networks here",
            hint="calibrate with trtforge.calibrate, and give scales instead of feeds",
            settings=("feeds",),
        )
    inputs = model_inputs(network)
    shapes = {name: ranges.opt for name, ranges in profiles[0].shapes.items()} if profiles else {}
    # Inputs that no profile names have fixed shapes.
    full = {spec.name: shapes.get(spec.name) or tuple(map(int, spec.shape)) for spec in inputs}
    return CalibrationRequest(
        config.calibrator or "entropy",
        batches=batches_of_shape(feeds, inputs, full),
        shapes=shapes,
    )


def _from_cache(content: bytes, calibrator: Algorithm | None, flavor: Flavor) -> CalibrationRequest:
    cache = read_calibration_cache(content)
    algorithm = calibrator or cache.algorithm
    wanted = cache_header(flavor.version, algorithm)
    if cache.header != wanted:
        raise CalibrationCacheError(
            f"the calibration cache begins with {cache.header!r}, {flavor} takes {wanted!r} alone",
            hint="calibrate with this version; or, where the tensor names are known to be the same, write "
            f"CalibrationCache({wanted!r}, cache.scales)",
        )
    return CalibrationRequest(
        algorithm, cache=lambda naming: cache.matched(naming(cache.scales).keys()).dumps()
    )


def _from_scales(scales: Scales, algorithm: Algorithm, flavor: Flavor) -> CalibrationRequest:
    header = cache_header(flavor.version, algorithm)

    def make(naming: Naming) -> bytes:
        return cache_from_scales(scales, header, names=naming(scales.tensors)).dumps()

    return CalibrationRequest(algorithm, cache=make)
