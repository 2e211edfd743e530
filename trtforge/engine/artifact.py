"""An engine as a value: plan bytes and manifest, saved and loaded together."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trtforge._files import sha256, write_bytes, write_together
from trtforge.engine.manifest import Manifest
from trtforge.engine.manifest_file import manifest_bytes, manifest_path, read_manifest
from trtforge.engine.siblings import siblings
from trtforge.engine.signature import (
    Signature,
    Trust,
    sign_manifest,
    signature_path,
    trust,
)
from trtforge.errors import EngineIncompatibleError, EngineIntegrityError
from trtforge.nvidia import Flavor, Gpu, Validity, gpus
from trtforge.nvidia.selection import flavor_to_load
from trtforge.units import format_bytes

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

    def save(
        self, path: str | os.PathLike[str], *, signing_key: str | os.PathLike[str] | None = None
    ) -> None:
        """Write the raw plan to ``path``, and beside it the manifest, ``.json``, and the signature, ``.sig``.

        All are written in full before any takes its place. Should the machine stop between two, the files do
        not match, and `load` refuses them.

        Parameters
        ----------
        path : by custom ``NAME.engine``, or ``NAME.sm90.engine`` beside those for other GPUs.
        signing_key : PEM file of an Ed25519 private key to sign with; None signs nothing, and removes the
            signature of an engine that lay there before.

        Raises
        ------
        OSError : a file cannot be written, on a full disk say; what was there before is untouched, and this
            engine is as good as it was.
        ConfigError : the key cannot be read; nothing was written.
        """
        write_together(self.files(path, signing_key=signing_key))
        if signing_key is None:
            signature_path(path).unlink(missing_ok=True)

    def files(
        self, path: str | os.PathLike[str], *, signing_key: str | os.PathLike[str] | None = None
    ) -> dict[Path, bytes]:
        """Return what `save` writes, in order: path to content."""
        manifest = self.manifest.dumps().encode()
        files = {manifest_path(path): manifest, Path(path): self.plan}
        if signing_key is not None:
            files = {signature_path(path): sign_manifest(manifest, signing_key).dumps()} | files
        return files

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        check_machine: bool = True,
        trusted_keys: Sequence[str | os.PathLike[str]] | None = None,
        require_signature: bool | None = None,
    ) -> Engine:
        """Read an engine, and verify it before any library sees a byte.

        Where the engine at ``path`` does not run on this machine, one of the same network and precision that
        lies beside it and does is read instead: ``NAME.sm90.engine`` beside ``NAME.engine``.

        Parameters
        ----------
        path : the plan; its manifest lies beside it.
        check_machine : also require a library and, where there are GPUs, a GPU that it runs on; False reads
            an engine only to look at it or to copy it.
        trusted_keys : PEM files of Ed25519 public keys, one of which must have signed the engine; None takes
            those that the environment names in ``TRTFORGE_TRUSTED_KEYS``.
        require_signature : whether an engine without a signature is refused; by default it is where
            ``trusted_keys`` is given. ``TRTFORGE_REQUIRE_SIGNATURE=1`` refuses it in any case.

        Raises
        ------
        EngineIntegrityError : plan or manifest are missing, cut short, altered, or not from one build.
        EngineSignatureError : it is unsigned though a signature is required, or no trusted key made it.
        EngineIncompatibleError : it was built for another library version, system or GPU.
        ConfigError : a signature is required, and no key is trusted.
        """
        trusted = trust(trusted_keys, require_signature)
        plan_path, manifest = _choose(Path(path), trusted) if check_machine else (Path(path), None)
        manifest = manifest or read_manifest(plan_path, trusted)
        _check_file(plan_path, manifest)
        return cls(plan_path.read_bytes(), manifest)

    def validity(self) -> Validity:
        """Ask the library that built the engine what it thinks of it on this machine."""
        return flavor_to_load(self.manifest.library, self.manifest.library_version).validity(self.plan)


def sign_engine(path: str | os.PathLike[str], signing_key: str | os.PathLike[str]) -> Signature:
    """Sign an engine's files as they are; the signature is written to ``path`` + ``.sig``.

    Parameters
    ----------
    path : the plan; its manifest lies beside it.
    signing_key : PEM file of an Ed25519 private key, not encrypted.

    Raises
    ------
    EngineIntegrityError : plan or manifest are missing, cut short, altered, or not from one build.
    ConfigError : the key cannot be read.
    MissingExtraError : cryptography is not installed.
    """
    content = manifest_bytes(path)
    manifest = Manifest.loads(content, source=os.fspath(manifest_path(path)))
    _check_file(Path(path), manifest)
    Engine(Path(path).read_bytes(), manifest)
    signature = sign_manifest(content, signing_key)
    write_bytes(signature_path(path), signature.dumps())
    return signature


def _check_file(path: Path, manifest: Manifest) -> None:
    if not path.is_file():
        raise EngineIntegrityError(f"no engine at {path}", hint=_REBUILD)
    _check_size(path.stat().st_size, manifest, os.fspath(path))


def _choose(path: Path, trusted: Trust) -> tuple[Path, Manifest]:
    """Return the engine at ``path``, or one of its siblings where that alone runs on this machine."""
    beside = [sibling for sibling in siblings(path) if manifest_path(sibling).is_file()]
    first = path if manifest_path(path).is_file() or not beside else beside[0]
    wanted = read_manifest(first, trusted)
    _check_file(first, wanted)
    try:
        check_runs_here(wanted)
    except EngineIncompatibleError:
        for sibling in beside:
            try:
                found = read_manifest(sibling, trusted)
                check_runs_here(found)
            except (EngineIntegrityError, EngineIncompatibleError):
                continue
            if (found.onnx_sha256, found.precision) == (wanted.onnx_sha256, wanted.precision):
                return sibling, found
        raise
    return first, wanted


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
