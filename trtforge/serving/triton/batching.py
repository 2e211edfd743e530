"""Which axis Triton may batch over, and how far."""

from __future__ import annotations

from collections.abc import Sequence

from trtforge.engine.manifest import Manifest
from trtforge.errors import ConfigError
from trtforge.profiles import OptimizationProfile
from trtforge.serving.triton.settings import TritonSettings


def profile_indices(manifest: Manifest, settings: TritonSettings) -> tuple[int, ...]:
    """Return the profiles to serve.

    Raises
    ------
    ConfigError : one is asked for that the engine lacks.
    """
    count = len(manifest.profiles)
    for index in settings.profiles:
        if index >= count:
            raise ConfigError(
                f"profile {index} is to be served, the engine has {count}, counted from 0",
                settings=("profiles",),
            )
    return settings.profiles or tuple(range(count))


def max_batch(manifest: Manifest, indices: Sequence[int]) -> int:
    """Return the largest batch that every one of these profiles accepts, 0 where Triton cannot batch.

    Triton adds one axis in front of every tensor, so all inputs and outputs must have it, by one name.
    """
    tensors = (*manifest.inputs, *manifest.outputs)
    firsts = {spec.shape[0] if spec.shape else 0 for spec in tensors}
    if len(firsts) != 1 or not isinstance(next(iter(firsts)), str) or not indices:
        return 0
    profiles = [manifest.profiles[index] for index in indices]
    if any(low > 1 for profile in profiles for low, _ in _first_axes(profile)):
        return 0
    return min(high for profile in profiles for _, high in _first_axes(profile))


def _first_axes(profile: OptimizationProfile) -> list[tuple[int, int]]:
    return [(value.min[0], value.max[0]) for value in profile.shapes.values()]


def served_batch(manifest: Manifest, settings: TritonSettings) -> int:
    """Return ``max_batch_size`` of the configuration.

    Raises
    ------
    ConfigError : more is asked for than the profiles accept, or a preferred size is above it.
    """
    indices = profile_indices(manifest, settings)
    most = max_batch(manifest, indices)
    asked = settings.max_batch_size
    if asked is not None and asked > most:
        raise ConfigError(
            f"max_batch_size {asked} exceeds what the engine's profiles accept: {most}",
            hint="build with wider profiles, or serve only those that are wide enough with profiles=",
            settings=("max_batch_size", "profiles"),
        )
    served = most if asked is None else asked
    for size in settings.preferred_batch_sizes:
        if size > served:
            raise ConfigError(
                f"preferred batch size {size} exceeds max_batch_size {served}",
                settings=("preferred_batch_sizes",),
            )
    return served
