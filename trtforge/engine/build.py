"""Build engines."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import trtforge
from trtforge._files import sha256, write_bytes
from trtforge._optional import is_installed
from trtforge.engine.artifact import Engine, system_name
from trtforge.engine.calibrating import calibration_request, carrier_of
from trtforge.engine.config import BuildConfig
from trtforge.engine.manifest import Manifest
from trtforge.engine.precision import agreed_precision, network_to_build
from trtforge.errors import BuildError, ConfigError, OutOfMemoryError, ProfileError
from trtforge.feeds import Arrays, Feeds, as_feeds
from trtforge.model import ModelSource, TensorSpec, load_model, model_digest, model_inputs, model_outputs
from trtforge.nvidia import Flavor, gpus, select
from trtforge.nvidia.building import BuildRequest, build_plan
from trtforge.nvidia.execution import LoadedEngine
from trtforge.profiles import OptimizationProfile
from trtforge.scales import Scales


def build(
    model: ModelSource,
    *,
    profiles: Sequence[OptimizationProfile] = (),
    config: BuildConfig | None = None,
    flavor: Flavor | str | None = None,
    scales: Scales | None = None,
    feeds: Feeds | Sequence[Arrays] | None = None,
    on_calibration_cache: Callable[[bytes], None] | None = None,
) -> Engine:
    """Build an engine from a network.

    A float32 network that is to become ``float16`` is typed so first where the library runs the types of the
    network (TensorRT 11, TensorRT-RTX). Its inputs and outputs stay float32; the manifest then has the option
    ``typed`` and the digest of the network as it was given. Others are told by a builder flag.

    Parameters
    ----------
    model : the network, as `trtforge.model.load_model` takes it.
    profiles : the shapes to accept; needed where an input has dynamic axes.
    config : how to build; the defaults of `BuildConfig` if None.
    flavor : the library, as `trtforge.nvidia.select` takes it.
    scales : the INT8 scales that the network was quantized with, for their digest. Of a float32 network that
        is to become ``int8``, TensorRT 8.6 and 10 are given them as a calibration cache.
    feeds : what TensorRT 8.6 and 10 calibrate on by themselves, instead of scales or a cache. Clips are cut
        to the first profile's optimal shape.
    on_calibration_cache : called with the cache that the library wrote after calibrating on ``feeds``.

    Returns
    -------
    The engine, in memory; nothing is written but the timing cache that ``config`` names.

    Raises
    ------
    NoGpuError : the library needs a GPU to build, and there is none.
    MissingExtraError : the library is not installed.
    ConfigError : network and library cannot give what ``config`` asks.
    ProfileError : the profiles do not fit the network.
    PluginMissingError : an operator needs a plugin that is not registered.
    CalibrationCacheError : the cache is malformed, of another library version, or of another network.
    ModelError, QuantizationError : the network cannot be typed FP16.
    BuildError : the library failed; the message carries its own reason.
    Exception : whatever reading the feeds raised.
    """
    chosen = flavor if isinstance(flavor, Flavor) else select(flavor)
    config = config or BuildConfig()
    network = load_model(model)
    calibrated_on = as_feeds(feeds) if feeds is not None else None
    carrier = carrier_of(config, scales, calibrated_on)
    precision = agreed_precision(network, config.precision, chosen, carrier=carrier)
    network_inputs = model_inputs(network)
    _check_profiles(network_inputs, profiles)
    calibration = calibration_request(network, chosen, config, profiles, scales, calibrated_on)
    if config.timing_cache is not None and not chosen.has_timing_cache:
        raise ConfigError(
            f"timing_cache: {chosen} keeps none; leave it out, or build with tensorrt",
            settings=("timing_cache", "flavor"),
        )
    given, rewritten = network_to_build(network, precision, chosen)
    started = time.perf_counter()
    built = build_plan(
        chosen,
        BuildRequest(
            model=given,
            precision=precision,
            profiles=[
                {name: (shape.min, shape.opt, shape.max) for name, shape in profile.shapes.items()}
                for profile in profiles
            ],
            optimization_level=config.optimization_level,
            workspace_bytes=config.workspace_bytes,
            compute_capabilities=config.compute_capabilities,
            timing_cache=_read_cache(config),
            calibration=calibration,
        ),
    )
    seconds = time.perf_counter() - started
    _write_cache(config, built.timing_cache)
    if on_calibration_cache is not None and built.calibration_cache is not None and calibrated_on is not None:
        on_calibration_cache(built.calibration_cache)
    _check_plan(chosen, built.plan)
    gpu = next(iter(gpus()), None)
    manifest = Manifest(
        library=chosen.name,
        library_version=chosen.version,
        compute_capabilities=chosen.built_for(config.compute_capabilities),
        gpu=gpu.name if gpu else None,
        driver=gpu.driver if gpu else None,
        system=system_name(),
        precision=precision,
        options=_options(config, calibrated_on) | rewritten,
        profiles=tuple(profiles),
        inputs=_named_axes(built.inputs, network_inputs),
        outputs=_named_axes(built.outputs, model_outputs(network)),
        layer_precisions=built.layer_precisions or _inspect(chosen, built.plan),
        onnx_sha256=model_digest(network),
        scales_sha256=sha256(json.dumps(scales.to_json(), sort_keys=True).encode()) if scales else None,
        build_seconds=round(seconds, 3),
        trtforge_version=trtforge.__version__,
        plan_sha256=sha256(built.plan),
        plan_bytes=len(built.plan),
        warnings=built.warnings,
    )
    return Engine(built.plan, manifest)


def _check_profiles(inputs: Sequence[TensorSpec], profiles: Sequence[OptimizationProfile]) -> None:
    dynamic = [spec for spec in inputs if any(isinstance(size, str) for size in spec.shape)]
    if dynamic and not profiles:
        raise ProfileError(
            f"the network has dynamic axes ({'; '.join(map(str, dynamic))}), and no profile was given",
            hint="pass profiles=plan_profiles(model_inputs(model), frame_counts)",
            settings=("profiles",),
        )
    for profile in profiles:
        profile.check_inputs(inputs)


def _check_plan(flavor: Flavor, plan: bytes) -> None:
    validity = flavor.validity(plan)
    if "malformed_engine" in validity.reasons:
        raise BuildError(f"{flavor} does not recognize the engine that it built: {validity.reasons}")


def _inspect(flavor: Flavor, plan: bytes) -> dict[str, int] | None:
    if flavor.builds_without_gpu or not is_installed("cuda.bindings.runtime"):
        return None
    try:
        with LoadedEngine(flavor, plan) as engine:
            return engine.layer_precisions()
    except OutOfMemoryError:
        return None


def _options(config: BuildConfig, feeds: Feeds | None) -> dict[str, Any]:
    values = {item.name: getattr(config, item.name) for item in fields(config)}
    values["timing_cache"] = True if config.timing_cache is not None else None
    values["compute_capabilities"] = list(config.compute_capabilities)
    values["calibration_cache"] = sha256(config.calibration_cache) if config.calibration_cache else None
    values["calibration_feeds"] = feeds.digest if feeds is not None else None
    return {name: value for name, value in values.items() if value not in (None, [])}


def _named_axes(found: Sequence[TensorSpec], declared: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    names = {spec.name: spec.shape for spec in declared}
    return tuple(
        TensorSpec(
            spec.name,
            spec.dtype,
            tuple(
                names[spec.name][axis] if size == "?" and len(names.get(spec.name, ())) > axis else size
                for axis, size in enumerate(spec.shape)
            ),
        )
        for spec in found
    )


def _read_cache(config: BuildConfig) -> bytes | None:
    if config.timing_cache is None:
        return None
    path = Path(config.timing_cache)
    return path.read_bytes() if path.is_file() else b""


def _write_cache(config: BuildConfig, content: bytes | None) -> None:
    if config.timing_cache is None or content is None:
        return
    try:
        write_bytes(config.timing_cache, content)
    except OSError as error:
        warnings.warn(f"the timing cache was not written: {error}", RuntimeWarning, stacklevel=3)
