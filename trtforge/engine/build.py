"""Build engines."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from trtforge._files import sha256
from trtforge.calibration import Observations
from trtforge.engine.artifact import Engine, system_name
from trtforge.engine.attempts import Attempt, at_level, by_calibration_cache, first_that_builds
from trtforge.engine.config import BuildConfig
from trtforge.engine.exporting import ExampleInputs, export_module, is_module
from trtforge.engine.key import build_key
from trtforge.engine.narrow_types import check_library, runs_by_type
from trtforge.engine.precision import network_precision
from trtforge.engine.single_build import SingleBuild, scales_digest
from trtforge.engine.store import EngineStore, open_store
from trtforge.errors import ConfigError, ProfileError
from trtforge.feeds import Arrays, Feeds, as_feeds
from trtforge.model import ModelSource, load_model, model_digest
from trtforge.nvidia import Flavor, select
from trtforge.nvidia.current import current_gpu
from trtforge.nvidia.options import check_options
from trtforge.nvidia.progress import OnProgress
from trtforge.profiles import OptimizationProfile
from trtforge.scales import Scales

if TYPE_CHECKING:
    import onnx
    import torch

# What every library takes where it is not told.
_DEFAULT_LEVEL = 3


def build(
    model: ModelSource | torch.nn.Module,
    *,
    profiles: Sequence[OptimizationProfile] = (),
    config: BuildConfig | None = None,
    flavor: Flavor | str | None = None,
    scales: Scales | None = None,
    feeds: Feeds | Sequence[Arrays] | None = None,
    observations: Observations | None = None,
    on_calibration_cache: Callable[[bytes], None] | None = None,
    store: EngineStore | str | os.PathLike[str] | bool | None = None,
    unquantized: ModelSource | None = None,
    example_inputs: ExampleInputs | None = None,
    output_names: Sequence[str] | None = None,
    on_progress: OnProgress | None = None,
) -> Engine:
    """Build an engine from a network.

    A float32 network that is to become ``float16`` or ``bfloat16`` is typed so first where the library runs
    the types of the network (TensorRT 11, TensorRT-RTX). Its inputs and outputs stay float32; the manifest
    then has the option ``typed`` and the digest of the network as it was given. Others are told by a builder
    flag. The option ``float32_nodes`` names the nodes of a typed network that stay in FP32, with the reasons.

    Parameters
    ----------
    model : the network: an ``.onnx`` file, an ONNX model in memory, or a PyTorch module.
    profiles : the shapes to accept; needed where an input has dynamic axes. Of a PyTorch module, they decide
        which axes are dynamic.
    config : how to build; the defaults of `BuildConfig` if None.
    flavor : the library, as `trtforge.nvidia.select` takes it.
    scales : the INT8 scales that the network was quantized with, for their digest. Of a float32 network that
        is to become ``int8``, TensorRT 8.6 and 10 are given them as a calibration cache.
    feeds : what TensorRT 8.6 and 10 calibrate on by themselves, instead of scales or a cache. Clips are cut
        to the first profile's optimal shape.
    observations : what was observed of a float32 network that is typed ``float16`` first; makers and readers
        of tensors that FP16 cannot hold then stay in FP32.
    on_calibration_cache : called with the cache that the library wrote after calibrating on ``feeds``; cannot
        be given along with ``store``, which may have the engine without calibrating.
    store : where engines are kept and looked for first: an `EngineStore`, its folder, or True for the one in
        the user's cache folder; None and False build in any case.
    unquantized : the float32 network that ``model`` was quantized from. Where TensorRT 8.6 or 10 cannot build
        the Q/DQ network, they are given this one, with ``scales`` as a calibration cache.
    example_inputs, output_names : for a PyTorch module, as `trtforge.engine.exporting.export_module` takes
        them.
    on_progress : called with the steps done and their number as the build goes on, where the library tells
        them: TensorRT 10, 11 and TensorRT-RTX. What it raises ends the build.

    Returns
    -------
    The engine, in memory; nothing is written but the timing cache that ``config`` names, and ``store``.

    Raises
    ------
    NoGpuError : the library needs a GPU to build, and there is none.
    MissingExtraError : the library is not installed, or what ``store`` needs.
    ConfigError : network and library cannot give what ``config`` asks, or ``observations`` have no effect.
    CalibrationError : ``observations`` are of another network.
    ProfileError : the profiles do not fit the network.
    PluginMissingError : an operator needs a plugin that is not registered.
    CalibrationCacheError : the cache is malformed, of another library version, or of another network.
    ModelError, QuantizationError : the network cannot be typed FP16.
    BuildError : the library failed; the message carries its own reason.
    PrecisionError : ``config`` requires the precision, and a layer did not get it or may not have; what was
        built is kept in ``store``, if any.
    Exception : whatever reading the feeds raised.

    Warns
    -----
    RuntimeWarning : the library runs the types of the network, and FP32 stands between its quantizers.
    """
    chosen = flavor if isinstance(flavor, Flavor) else select(flavor)
    config = config or BuildConfig()
    _check_kinds(profiles, config)
    check_options(chosen, config.asked())
    if config.precision is not None:
        check_library(config.precision, chosen)
    network, name = _load(model, profiles, example_inputs, output_names)
    wanted = config.precision or network_precision(network)
    check_library(wanted, chosen)
    config.check_effects(wanted)
    if config.strongly_typed or runs_by_type(wanted):
        chosen = chosen.strongly_typed()
    asked = SingleBuild(
        network=network,
        name=name,
        flavor=chosen,
        profiles=tuple(profiles),
        config=config,
        scales=scales,
        feeds=as_feeds(feeds) if feeds is not None else None,
        observations=observations,
        on_calibration_cache=on_calibration_cache,
        on_progress=on_progress,
    )
    make = partial(first_that_builds, _ways(asked, unquantized))
    if store is None or store is False:
        return _accepted(make(), config)
    if on_calibration_cache is not None:
        raise ConfigError(
            "on_calibration_cache cannot be given along with store, which may have the engine already",
            settings=("on_calibration_cache", "store"),
        )
    # Of what no way of building would read, nothing belongs into the key.
    other = unquantized if chosen.has_calibrators and scales is not None else None
    key = build_key(
        network_sha256=model_digest(network),
        flavor=chosen,
        config=config,
        profiles=profiles,
        system=system_name(),
        gpu=current_gpu(),
        unquantized_sha256=model_digest(load_model(other)) if other is not None else None,
        scales_sha256=scales_digest(scales),
        feeds_sha256=asked.feeds.digest if asked.feeds is not None else None,
        observations_sha256=sha256(observations.dumps()) if observations is not None else None,
    )
    return _accepted(open_store(store).get_or_build(key, make), config)


def _check_kinds(profiles: object, config: object) -> None:
    if not isinstance(config, BuildConfig):
        raise ConfigError(f"config must be a BuildConfig, got {config!r}", settings=("config",))
    if not isinstance(profiles, Sequence) or not all(
        isinstance(one, OptimizationProfile) for one in profiles
    ):
        raise ProfileError(
            f"profiles must be a sequence of OptimizationProfile, got {profiles!r}",
            hint="OptimizationProfile(mapping) takes what Polygraphy calls a profile",
            settings=("profiles",),
        )


def _accepted(engine: Engine, config: BuildConfig) -> Engine:
    """Return the engine, unless its layers must run as asked and cannot be shown to."""
    proof = engine.manifest.proof
    if config.require_precision and proof is not None:
        proof.require()
    return engine


def _load(
    model: ModelSource | torch.nn.Module,
    profiles: Sequence[OptimizationProfile],
    example_inputs: ExampleInputs | None,
    output_names: Sequence[str] | None,
) -> tuple[onnx.ModelProto, str | None]:
    """Return the network and what it is called."""
    if is_module(model):
        exported = export_module(model, example_inputs, profiles=profiles, output_names=output_names)
        return exported, type(model).__name__
    for setting, value in (("example_inputs", example_inputs), ("output_names", output_names)):
        if value is not None:
            raise ConfigError(
                f"{setting} was given for a network that is ONNX already; only PyTorch modules are exported",
                hint="leave it out",
                settings=(setting,),
            )
    network = load_model(model)
    return network, Path(model).stem if isinstance(model, str | os.PathLike) else network.graph.name or None


def _ways(asked: SingleBuild, unquantized: ModelSource | None) -> list[Attempt]:
    """Return what was asked for, then other ways to build the same Q/DQ network; none for other networks."""
    level = asked.config.optimization_level
    level = _DEFAULT_LEVEL if level is None else level
    ways = [Attempt(f"optimization level {level}", asked.run)]
    if network_precision(asked.network) != "int8" or asked.config.precision not in (None, "int8"):
        return ways
    for other in asked.flavor.other_levels:
        if other != level:
            config = replace(asked.config, optimization_level=other)
            ways.append(at_level(other, replace(asked, config=config).run))
    if unquantized is not None and asked.scales is not None and asked.flavor.has_calibrators:
        config = replace(asked.config, precision="int8")
        plain = replace(asked, network=load_model(unquantized), config=config)
        ways.append(by_calibration_cache(plain.run))
    return ways
