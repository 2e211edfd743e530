"""Build a quantized network in other ways where the library finds none at first, and say what was done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from trtforge.engine.artifact import Engine
from trtforge.engine.manifest import Manifest
from trtforge.errors import BuildError

_CACHE_WAY = "scales as a calibration cache"


@dataclass(frozen=True)
class Attempt:
    """One way to build.

    Parameters
    ----------
    way : what it is, in a few words.
    build : does it; called at most once.
    helps : whether it may help after a given error.
    """

    way: str
    build: Callable[[], Engine]
    helps: Callable[[BuildError], bool] = lambda error: True


def at_level(level: int, build: Callable[[], Engine]) -> Attempt:
    """Return the attempt to build at another optimization level.

    It may help where the library had no implementation for a layer: other levels fuse and choose otherwise.

    References
    ----------
    NVIDIA, TensorRT developer guide, "Builder Optimization Level".
    """
    return Attempt(f"optimization level {level}", build, _lacks_implementation)


def by_calibration_cache(build: Callable[[], Engine]) -> Attempt:
    """Return the attempt to build the network without Q/DQ nodes, scales given as a calibration cache."""
    return Attempt(_CACHE_WAY, build)


def first_that_builds(attempts: Sequence[Attempt]) -> Engine:
    """Try ways to build in order, and return the engine of the first that works.

    Parameters
    ----------
    attempts : the ways; the first is what was asked for.

    Returns
    -------
    The engine. Where it took another way than the first, the manifest's option ``way`` names it, and
    ``tried`` lists what failed before as ``{"way": ..., "error": ...}``.

    Raises
    ------
    BuildError : no way worked; what the first one said, and which others were tried.
    """
    tried: list[dict[str, str]] = []
    first: BuildError | None = None
    for attempt in attempts:
        if first is not None and not attempt.helps(first):
            continue
        try:
            engine = attempt.build()
        except BuildError as error:
            first = first or error
            tried.append({"way": attempt.way, "error": error.message})
            continue
        return _noted(engine, attempt.way, tried) if tried else engine
    assert first is not None  # noqa: S101 - there is at least one attempt
    if len(tried) == 1:
        raise first
    others = "; ".join(f"{entry['way']}: {entry['error']}" for entry in tried[1:])
    raise BuildError(
        f"{first.message}; other ways failed too: {others}",
        hint=first.hint,
        settings=first.settings,
        layer=first.layer,
    ) from first


def describe_way(manifest: Manifest) -> str | None:
    """Say in a few words which other way an engine took, or None where it was built as asked."""
    way, tried = manifest.options.get("way"), manifest.options.get("tried") or []
    if way is None:
        return None
    failed = ", ".join(str(entry["way"]) for entry in tried)
    return f"built with {way}, since the library could not at first ({failed} failed)"


def _noted(engine: Engine, way: str, tried: list[dict[str, str]]) -> Engine:
    options = {**engine.manifest.options, "way": way, "tried": tried}
    return replace(engine, manifest=replace(engine.manifest, options=options))


def _lacks_implementation(error: BuildError) -> bool:
    return "optimization_level" in error.settings
