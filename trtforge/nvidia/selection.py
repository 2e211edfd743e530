"""Find the installed libraries and choose one; the only place that compares version numbers."""

from __future__ import annotations

import importlib.metadata

from trtforge._optional import is_installed, require
from trtforge.errors import ConfigError, EngineIncompatibleError, MissingExtraError, NoGpuError
from trtforge.nvidia.devices import gpus, require_gpu
from trtforge.nvidia.flavor import BUILD_WITHOUT_GPU, Flavor
from trtforge.nvidia.rtx import Rtx
from trtforge.nvidia.v8 import V8
from trtforge.nvidia.v10 import V10
from trtforge.nvidia.v11 import V11


def installed_version(flavor: type[Flavor]) -> str | None:
    """Return the version of a flavor's library without importing it, or None where it is absent."""
    if not is_installed(flavor.name):
        return None
    for distribution in flavor.distributions:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return str(require(flavor.name, "read its version").__version__)


def flavor_for(name: str, version: str) -> Flavor:
    """Return the flavor that speaks for a library of this name and version.

    Raises
    ------
    ConfigError : trtforge does not know the version.
    """
    if is_known(name, version):
        return Rtx(version) if name == Rtx.name else {8: V8, 10: V10, 11: V11}[_release(version)[0]](version)
    raise ConfigError(
        f"{name} {version} is not supported; trtforge knows tensorrt 8.6, 10.x, 11.x and tensorrt_rtx 1.x"
    )


def is_known(name: str, version: str) -> bool:
    """Say whether trtforge knows this library in this version."""
    major, minor = _release(version)
    if name == "tensorrt_rtx":
        return major == 1
    return (major, minor) == (8, 6) or major in (10, 11)


def _release(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def available() -> tuple[Flavor, ...]:
    """Return the installed libraries that trtforge knows, ``tensorrt`` first; none is imported."""
    found = []
    for kind in (Flavor, Rtx):
        version = installed_version(kind)
        if version is not None and is_known(kind.name, version):
            found.append(flavor_for(kind.name, version))
    return tuple(found)


def select(name: str | None = None) -> Flavor:
    """Choose the library to build with.

    Parameters
    ----------
    name : ``tensorrt`` or ``tensorrt_rtx``; by default ``tensorrt`` where it is installed and a GPU is
        there, else ``tensorrt_rtx``.

    Raises
    ------
    ConfigError : there is no library of that name.
    NoGpuError : ``tensorrt`` was asked for, or is all there is, and there is no GPU.
    MissingExtraError : the library is not installed.
    """
    wanted = name.replace("-", "_") if name else None
    if wanted not in (None, "tensorrt", "tensorrt_rtx"):
        raise ConfigError(f"flavor {name!r} is unknown; choose 'tensorrt' or 'tensorrt_rtx'")
    if wanted == "tensorrt":
        require_gpu("build with tensorrt", instead=BUILD_WITHOUT_GPU, settings=("flavor",))
    present = {flavor.name: flavor for flavor in available()}
    if wanted is None:
        wanted = "tensorrt" if "tensorrt" in present and gpus() else "tensorrt_rtx"
    if wanted in present:
        return present[wanted]
    if "tensorrt" in present and wanted == "tensorrt_rtx" and name is None:
        raise NoGpuError(
            f"{present['tensorrt']} needs a GPU to build, and there is none",
            hint=BUILD_WITHOUT_GPU,
            settings=("flavor",),
        )
    extra, kind = {"tensorrt": ("tensorrt", Flavor), "tensorrt_rtx": ("rtx", Rtx)}[wanted]
    version = installed_version(kind)
    if version is not None:
        return flavor_for(wanted, version)
    raise MissingExtraError(
        f"{wanted} is needed to build an engine, and it is not installed",
        hint=f'python -m pip install "trtforge[{extra}]"',
    )


def flavor_to_load(library: str, version: str) -> Flavor:
    """Return the installed flavor that accepts a plan written by ``library`` of ``version``.

    Raises
    ------
    EngineIncompatibleError : none here does.
    """
    present = available()
    for flavor in present:
        if flavor.can_load(library, version):
            return flavor
    have = ", ".join(map(str, present)) or "no TensorRT library"
    want = f"{library} {version}"
    raise EngineIncompatibleError(
        f"the engine was built by {want}, this machine has {have}",
        have=have,
        want=want,
        hint=f"build the engine again here, or install {library}=={version}",
    )
