"""One build: a checked request in, an engine with its manifest out."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trtforge
from trtforge._files import sha256
from trtforge._optional import is_installed
from trtforge.calibration import Observations
from trtforge.engine.artifact import Engine, system_name
from trtforge.engine.calibrating import calibration_request, carrier_of
from trtforge.engine.config import BuildConfig
from trtforge.engine.durations import BuildDurations
from trtforge.engine.manifest import Manifest
from trtforge.engine.narrow_types import runs_by_type, targets_of
from trtforge.engine.precision import agreed_precision, network_to_build
from trtforge.engine.proof import prove
from trtforge.engine.timing_cache import timing_cache_for
from trtforge.errors import BuildError, EngineError, OutOfMemoryError, ProfileError
from trtforge.feeds import Feeds
from trtforge.model import TensorSpec, model_digest, model_inputs, model_outputs
from trtforge.nvidia import Flavor
from trtforge.nvidia.building import BuildRequest, build_plan
from trtforge.nvidia.current import current_gpu
from trtforge.nvidia.execution import LoadedEngine
from trtforge.nvidia.layers import EngineLayer, count_types
from trtforge.nvidia.plugins import checked_plugin
from trtforge.nvidia.progress import OnProgress
from trtforge.profiles import OptimizationProfile, triples
from trtforge.scales import Scales

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class SingleBuild:
    """What one build is made of.

    Parameters
    ----------
    network : what to build.
    name : what the network is called, or None.
    flavor : the library.
    profiles, config, scales, on_calibration_cache, on_progress : as for `trtforge.build`.
    feeds : what the library calibrates on by itself, or None.
    observations : what was observed of the network's tensors, or None.
    """

    network: onnx.ModelProto
    name: str | None
    flavor: Flavor
    profiles: tuple[OptimizationProfile, ...]
    config: BuildConfig
    scales: Scales | None = None
    feeds: Feeds | None = None
    observations: Observations | None = None
    on_calibration_cache: Callable[[bytes], None] | None = None
    on_progress: OnProgress | None = None

    def run(self) -> Engine:
        """Build the engine; raises as `trtforge.build` does."""
        network, chosen, config = self.network, self.flavor, self.config
        carrier = carrier_of(config, self.scales, self.feeds)
        precision = agreed_precision(network, config.precision, chosen, carrier=carrier)
        network_inputs = model_inputs(network)
        check_profiles(network_inputs, self.profiles)
        calibration = calibration_request(network, chosen, config, self.profiles, self.scales, self.feeds)
        # What cannot run where it was asked for is refused before the library is.
        targets = targets_of(precision, chosen, config) if runs_by_type(precision) else None
        given, rewritten = network_to_build(
            network,
            precision,
            chosen,
            observations=self.observations,
            block_size=config.weight_block_size,
        )
        plugins = [checked_plugin(plugin) for plugin in config.plugin_files]
        gpu = current_gpu()
        timings = timing_cache_for(config, chosen, gpu)
        durations = BuildDurations(Path(f"{timings.path}.seconds.json")) if timings else None
        digest = model_digest(network)
        kind = self._kind(digest, precision)
        started = time.perf_counter()
        built = build_plan(
            chosen,
            BuildRequest(
                model=given,
                precision=precision,
                profiles=[triples(profile.shapes) for profile in self.profiles],
                profile_values=[triples(profile.values) for profile in self.profiles],
                options={**config.asked(), **({"plugins": plugins} if plugins else {})},
                timing_cache=timings.read() if timings else None,
                keep_timings=timings.keep if timings else None,
                calibration=calibration,
                on_progress=self.on_progress,
                expected_seconds=durations.expected_seconds(kind) if durations else None,
            ),
        )
        seconds = time.perf_counter() - started
        if durations:
            durations.note(kind, seconds)
        if None not in (self.on_calibration_cache, built.calibration_cache, self.feeds):
            assert self.on_calibration_cache is not None  # noqa: S101 - narrows the type
            assert built.calibration_cache is not None  # noqa: S101 - narrows the type
            self.on_calibration_cache(built.calibration_cache)
        _check_plan(chosen, built.plan)
        layers = built.layers
        if not count_types(layers):
            layers = _inspect(chosen, config, built.plan) or layers
        manifest = Manifest(
            library=chosen.name,
            library_version=chosen.version,
            compute_capabilities=targets or targets_of(precision, chosen, config),
            gpu=gpu.name if gpu else None,
            driver=gpu.driver if gpu else None,
            system=system_name(),
            precision=precision,
            options=_options(config, self.feeds, self.observations) | rewritten,
            profiles=self.profiles,
            inputs=_named_axes(built.inputs, network_inputs),
            outputs=_named_axes(built.outputs, model_outputs(network)),
            layer_precisions=count_types(layers) or None,
            onnx_sha256=digest,
            scales_sha256=scales_digest(self.scales),
            build_seconds=round(seconds, 3),
            trtforge_version=trtforge.__version__,
            plan_sha256=sha256(built.plan),
            plan_bytes=len(built.plan),
            warnings=built.warnings,
            name=self.name,
            plugins_sha256={plugin.name: str(plugin.sha256) for plugin in plugins},
            timing_cache_sha256=timings.sha256 if timings else None,
            proof=prove(
                given, layers, precision=precision, flavor=chosen, calibrated=calibration is not None
            ),
        )
        return Engine(built.plan, manifest)

    def _kind(self, digest: str, precision: str) -> str:
        """Return what builds that take about as long as this one have in common."""
        asked = sorted((name, str(value)) for name, value in self.config.asked().items())
        record = [digest, str(self.flavor), precision, asked, str(self.profiles)]
        return sha256(json.dumps(record).encode())


def scales_digest(scales: Scales | None) -> str | None:
    """Return the digest of INT8 scales, or None where there are none."""
    return sha256(json.dumps(scales.to_json(), sort_keys=True).encode()) if scales else None


def check_profiles(inputs: Sequence[TensorSpec], profiles: Sequence[OptimizationProfile]) -> None:
    """Raise ProfileError where profiles are missing or do not fit the network's inputs."""
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


def _inspect(flavor: Flavor, config: BuildConfig, plan: bytes) -> tuple[EngineLayer, ...] | None:
    if flavor.builds_without_gpu or not is_installed("cuda.bindings.runtime"):
        return None
    if config.profiling_verbosity != "detailed":
        return None
    try:
        with LoadedEngine(flavor, plan) as engine:
            return engine.layers()
    except OutOfMemoryError:
        return None
    except EngineError:
        # A lean runtime inside the plan is code for the host, which is not allowed to load here.
        if config.version_compatible:
            return None
        raise
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        # The engine is good all the same, and may have taken long to build.
        warnings.warn(f"what the layers run in cannot be read from the engine: {error}", stacklevel=2)
        return None


def _options(config: BuildConfig, feeds: Feeds | None, observations: Observations | None) -> dict[str, Any]:
    """Return the settings that differ from their defaults as JSON values, files as their digests."""
    values = {
        name: list(value) if isinstance(value, tuple) else value for name, value in config.asked().items()
    }
    values.pop("plugins", None)
    if config.timing_cache is not None:
        values["timing_cache"] = True
    if config.precision is not None:
        values["precision"] = config.precision
    if config.calibrator is not None:
        values["calibrator"] = config.calibrator
    if config.cache_content:
        values["calibration_cache"] = sha256(config.cache_content)
    if feeds is not None:
        values["calibration_feeds"] = feeds.digest
    if observations is not None:
        values["observed_feeds"] = observations.feeds_sha256
    return values


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
