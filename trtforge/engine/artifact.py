"""An engine as a value: plan bytes and manifest, saved and loaded together."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

from trtforge._files import sha256, write_together
from trtforge.engine.manifest import Manifest
from trtforge.errors import EngineIncompatibleError, EngineIntegrityError
from trtforge.nvidia import Flavor, Gpu, Validity, gpus
from trtforge.nvidia.selection import flavor_to_load
from trtforge.units import format_bytes

_MAX_MANIFEST_BYTES = 16 << 20
_REBUILD = "build the engine again from its network"


@dataclass(frozen=True)
class Engine:
    """A built engine: the raw plan, and the manifest that says what it is.

    An ``Engine`` whose plan does not fit its manifest cannot be made, so the bytes it holds are those that
    were built.

    Parameters
    ----------
    plan : the serialized engine, as the library gave it.
    manifest : what it is.

    Raises
    ------
    EngineIntegrityError : size or SHA-256 of the plan are not those in the manifest.
    """

    plan: bytes = field(repr=False)
    manifest: Manifest

    def __post_init__(self) -> None:
        _check_size(len(self.plan), self.manifest, "the plan")
        digest = sha256(self.plan)
        if digest != self.manifest.plan_sha256:
            raise EngineIntegrityError(
                f"the plan was altered: its SHA-256 is {digest[:12]}, the manifest says "
                f"{self.manifest.plan_sha256[:12]}",
                hint=_REBUILD,
            )

    def __str__(self) -> str:
        made = self.manifest
        return (
            f"{made.precision} engine of {made.library} {made.library_version}, "
            f"{format_bytes(made.plan_bytes)}, for compute capability {', '.join(made.compute_capabilities)}"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the raw plan to ``path`` and the manifest to ``path`` + ``.json``.

        Both are written in full before either takes its place. Should the machine stop between the two, the
        pair does not match, and `load` refuses it.

        Parameters
        ----------
        path : by custom ``NAME.engine``.
        """
        write_together(self.files(path))

    def files(self, path: str | os.PathLike[str]) -> dict[Path, bytes]:
        """Return what `save` writes, in order: path to content."""
        return {manifest_path(path): self.manifest.dumps().encode(), Path(path): self.plan}

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, check_machine: bool = True) -> Engine:
        """Read an engine, and verify it before any library sees a byte.

        Parameters
        ----------
        path : the plan; its manifest lies beside it.
        check_machine : also require a library and, where there are GPUs, a GPU that it runs on; False reads
            an engine only to look at it or to copy it.

        Raises
        ------
        EngineIntegrityError : plan or manifest are missing, cut short, altered, or not from one build.
        EngineIncompatibleError : it was built for another library version, system or GPU.
        """
        manifest = load_manifest(path)
        plan_path = Path(path)
        if not plan_path.is_file():
            raise EngineIntegrityError(f"no engine at {plan_path}", hint=_REBUILD)
        _check_size(plan_path.stat().st_size, manifest, os.fspath(path))
        if check_machine:
            check_runs_here(manifest)
        return cls(plan_path.read_bytes(), manifest)

    def validity(self) -> Validity:
        """Ask the library that built the engine what it thinks of it on this machine."""
        return flavor_to_load(self.manifest.library, self.manifest.library_version).validity(self.plan)


def manifest_path(path: str | os.PathLike[str]) -> Path:
    """Return where the manifest of the engine at ``path`` lies."""
    return Path(f"{os.fspath(path)}.json")


def load_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read and verify the manifest of the engine at ``path``, without the plan.

    Raises
    ------
    EngineIntegrityError : it is missing, altered, or not a manifest.
    """
    beside = manifest_path(path)
    if not beside.is_file():
        raise EngineIntegrityError(
            f"{os.fspath(path)} cannot be trusted as an engine: there is no manifest at {beside}",
            hint="copy NAME.engine and NAME.engine.json together, or build the engine again",
        )
    with beside.open("rb") as file:
        content = file.read(_MAX_MANIFEST_BYTES + 1)
    if len(content) > _MAX_MANIFEST_BYTES:
        raise EngineIntegrityError(
            f"{beside} is not an engine manifest: it exceeds {_MAX_MANIFEST_BYTES} bytes"
        )
    return Manifest.loads(content, source=os.fspath(beside))


def check_runs_here(manifest: Manifest, *, device: int | None = None) -> Flavor:
    """Return the installed library that takes the plan, once it is known to run on this machine.

    Parameters
    ----------
    manifest : of the engine.
    device : the GPU it must run on; None accepts any, and a machine without GPUs.

    Raises
    ------
    EngineIncompatibleError : the library, its version, the system or the GPU do not fit.
    """
    flavor = flavor_to_load(manifest.library, manifest.library_version)
    here = system_name()
    if manifest.system != here and not flavor.portable_across_systems:
        raise EngineIncompatibleError(
            f"the engine was built on {manifest.system}, this machine is {here}",
            have=here,
            want=manifest.system,
            hint="build the engine again here",
        )
    present = [gpu for gpu in gpus() if device in (None, gpu.index)]
    if present and not any(_runs_on(flavor, gpu, manifest) for gpu in present):
        have = ", ".join(sorted({gpu.compute_capability for gpu in present}))
        want = ", ".join(manifest.compute_capabilities)
        raise EngineIncompatibleError(
            f"the engine runs on compute capability {want}, this machine's {present[0].name} has {have}",
            have=have,
            want=want,
            hint=_rebuild_for(flavor, have),
        )
    return flavor


def system_name() -> str:
    """Return operating system and architecture, such as ``Linux x86_64``."""
    return f"{platform.system()} {platform.machine()}"


def _runs_on(flavor: Flavor, gpu: Gpu, manifest: Manifest) -> bool:
    return flavor.runs_on(gpu.compute_capability, manifest.compute_capabilities)


def _rebuild_for(flavor: Flavor, capability: str) -> str:
    if flavor.targets_compute_capabilities:
        return f"{flavor.name} engines run only where it says; build with flavor='tensorrt' on this machine"
    return f"build the engine again on a GPU of compute capability {capability}"


def _check_size(size: int, manifest: Manifest, what: str) -> None:
    if size != manifest.plan_bytes:
        how = "cut short" if size < manifest.plan_bytes else "too long"
        raise EngineIntegrityError(
            f"{what} is {how}: {size} bytes of {manifest.plan_bytes} in the manifest", hint=_REBUILD
        )
