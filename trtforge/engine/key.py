"""The key of an engine in a store: one digest over everything that decides what a build gives."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import trtforge
from trtforge._files import file_sha256, json_bytes, sha256
from trtforge.engine.config import BuildConfig
from trtforge.engine.manifest import FORMAT
from trtforge.errors import ConfigError
from trtforge.nvidia import Flavor, Gpu
from trtforge.nvidia.plugins import Plugin, checked_plugin
from trtforge.profiles import OptimizationProfile, triples

# Settings that change how long a build takes, or whether its result is accepted, not what it must give.
_NOT_IN_THE_KEY = frozenset({"timing_cache", "require_precision"})


def build_key(
    *,
    network_sha256: str,
    flavor: Flavor,
    config: BuildConfig,
    profiles: Sequence[OptimizationProfile],
    system: str,
    gpu: Gpu | None,
    unquantized_sha256: str | None = None,
    scales_sha256: str | None = None,
    feeds_sha256: str | None = None,
    observations_sha256: str | None = None,
) -> str:
    """Return the digest under which a store keeps what this build gives.

    In it are: network, library and version, every setting but the place of the timing cache, the content of
    calibration caches and plugin libraries, profiles in their order, scales, feeds, observations, the compute
    capabilities built for, and trtforge's version and manifest format. Where the library builds for the GPU
    that it runs on, so are that GPU's name and the branch of its driver, since tactics are chosen by
    measuring; where the engine is bound to it, operating system and architecture.

    Parameters
    ----------
    network_sha256 : digest of the network, weights included (`trtforge.model.model_digest`).
    flavor : the library.
    config : how to build.
    profiles : the shapes to accept.
    system : operating system and architecture, such as ``Linux x86_64``.
    gpu : the GPU to build on, or None.
    unquantized_sha256 : digest of the network to build instead where the quantized one fails, or None.
    scales_sha256, feeds_sha256, observations_sha256 : digests of scales, of what is calibrated on and of what
        was observed, or None.

    Returns
    -------
    SHA-256, 64 hexadecimal digits.

    Raises
    ------
    ConfigError : a file that a setting names cannot be read, or a setting has a value without a digest.
    PluginMissingError : a plugin library is not where the settings say.
    NoGpuError : the library builds for the GPU that it runs on, and there is none.
    """
    record = {
        "format": FORMAT,
        "trtforge": trtforge.__version__,
        "network": network_sha256,
        "library": [flavor.name, flavor.version],
        "config": {
            item.name: _plain(getattr(config, item.name), item.name)
            for item in fields(config)
            if item.name not in _NOT_IN_THE_KEY
        },
        "profiles": [
            triples(profile.shapes) | ({"values of": triples(profile.values)} if profile.values else {})
            for profile in profiles
        ],
        "unquantized": unquantized_sha256,
        "scales": scales_sha256,
        "feeds": feeds_sha256,
        "observations": observations_sha256,
        "compute_capabilities": flavor.built_for(config.compute_capabilities, config.hardware_compatibility),
        "system": None if flavor.portable_across_systems else system,
        "gpu": None if gpu is None or flavor.builds_without_gpu else [gpu.name, gpu.driver.split(".")[0]],
    }
    return sha256(json_bytes(_plain(record, "record")))


def _plain(value: Any, name: str) -> Any:
    """Return a value as sorted plain JSON values, files and bytes as their digests."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return {"sha256": sha256(value)}
    if isinstance(value, Plugin):
        return {"file_sha256": checked_plugin(value).sha256}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, os.PathLike):
        return {"file_sha256": _digest_of_file(Path(value), name)}
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name), name) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key], name) for key in sorted(value, key=str)}
    if isinstance(value, set | frozenset):
        return sorted(_plain(item, name) for item in value)
    if isinstance(value, Sequence):
        return [_plain(item, name) for item in value]
    raise ConfigError(
        f"{name}={value!r} has no digest, so no engine built with it can be kept in a store",
        hint="build without store",
        settings=(name, "store"),
    )


def _digest_of_file(path: Path, name: str) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise ConfigError(f"{name}: {path} cannot be read: {error}", settings=(name,)) from error
