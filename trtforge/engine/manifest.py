"""The manifest of an engine: what it is, where it runs, and the digests that prove both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trtforge._files import sha256
from trtforge.engine.proof import PrecisionProof
from trtforge.errors import EngineIntegrityError, ProfileError
from trtforge.model import TensorSpec
from trtforge.profiles import OptimizationProfile, ShapeRange

FORMAT = "trtforge.engine/1"
_TYPES: Mapping[type, tuple[str, ...]] = {
    str: ("library", "library_version", "system", "precision", "onnx_sha256", "plan_sha256"),
    int: ("plan_bytes",),
    dict: ("options",),
    list: ("compute_capabilities", "profiles", "inputs", "outputs", "warnings"),
}
_HINT = "build the engine again from its network"


@dataclass(frozen=True)
class Manifest:
    """Everything that must be known of a plan before a library is given its bytes.

    Parameters
    ----------
    library, library_version : what built the plan, such as ``tensorrt_rtx`` and ``1.7.1.116``.
    compute_capabilities : where it runs; ``12.0+`` stands for 12.0 and above.
    gpu, driver : the GPU that built it and its driver; None where there was none.
    system : operating system and architecture, such as ``Linux x86_64``.
    precision : what was built, as `BuildConfig.precision`.
    options : the build options that differ from the library's defaults; ``typed`` is the type that the build
        itself gave a float32 network, ``float32_nodes`` the nodes of a typed network that stay in FP32, each
        with the reason.
    profiles : the optimization profiles, in order.
    inputs, outputs : the tensors, with the engine's dtypes and the network's names of dynamic axes.
    layer_precisions : type to number of layers that read it as their narrowest; None where not known.
    onnx_sha256 : digest of the network as it was given (`trtforge.model.model_digest`).
    scales_sha256 : digest of the INT8 scales, or None.
    build_seconds : time that the build took.
    trtforge_version : version that wrote this.
    plan_sha256, plan_bytes : digest and size of the plan.
    warnings : what the library warned of while it built.
    name : what the network is called, by its file or by itself; None where neither says.
    plugins_sha256 : file name of each plugin library that the engine needs, to the digest of that file.
    timing_cache_sha256 : digest of the timing cache that the build began with, or None.
    proof : the precision that each layer of the network was asked for and got; None in manifests of
        earlier versions.
    build_key : digest of all that decides the result of the build (`trtforge.engine.key.build_key`), where
        the engine was kept in a store; None elsewhere.
    """

    library: str
    library_version: str
    compute_capabilities: tuple[str, ...]
    gpu: str | None
    driver: str | None
    system: str
    precision: str
    options: Mapping[str, Any]
    profiles: tuple[OptimizationProfile, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    layer_precisions: Mapping[str, int] | None
    onnx_sha256: str
    scales_sha256: str | None
    build_seconds: float
    trtforge_version: str
    plan_sha256: str
    plan_bytes: int
    warnings: tuple[str, ...] = ()
    name: str | None = None
    plugins_sha256: Mapping[str, str] = field(default_factory=dict)
    timing_cache_sha256: str | None = None
    build_key: str | None = None
    proof: PrecisionProof | None = None

    def dumps(self) -> str:
        """Return the manifest as JSON text that carries its own digest."""
        return _render(_to_json(self))

    @classmethod
    def loads(cls, text: str | bytes, *, source: str) -> Manifest:
        """Read text that `dumps` gave; anything else, by so much as a blank, is refused.

        Parameters
        ----------
        text : the manifest's content.
        source : where it is from, for the message.

        Raises
        ------
        EngineIntegrityError : the text is not such a manifest, or was altered.
        """
        try:
            content = text.decode("utf-8") if isinstance(text, bytes) else text
            record = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise EngineIntegrityError(f"{source} is not an engine manifest: {error}", hint=_HINT) from error
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise EngineIntegrityError(
                f'{source} is not an engine manifest: it lacks "format": "{FORMAT}"', hint=_HINT
            )
        digest = record.pop("digest", None)
        try:
            whole = _render(record) == content
        except (ValueError, RecursionError) as error:
            raise EngineIntegrityError(f"{source} is not an engine manifest: {error}", hint=_HINT) from error
        if not whole:
            raise EngineIntegrityError(
                f"{source} was altered: its own digest {str(digest)[:12]} does not fit its content",
                hint=_HINT,
            )
        try:
            return _from_json(record)
        except (KeyError, TypeError, ValueError, AttributeError, ProfileError) as error:
            raise EngineIntegrityError(f"{source} is a damaged manifest: {error!r}", hint=_HINT) from error


def _render(record: Mapping[str, Any]) -> str:
    body = json.dumps(record, sort_keys=True, allow_nan=False)
    return json.dumps({**record, "digest": sha256(body.encode())}, indent=2, allow_nan=False) + "\n"


def _to_json(manifest: Manifest) -> dict[str, Any]:
    record = {"format": FORMAT, **vars(manifest)}
    record["profiles"] = [_triples(profile.shapes) for profile in manifest.profiles]
    if any(profile.values for profile in manifest.profiles):
        record["profile_values"] = [_triples(profile.values) for profile in manifest.profiles]
    for side in ("inputs", "outputs"):
        record[side] = [
            {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)} for spec in record[side]
        ]
    record["proof"] = manifest.proof.to_json() if manifest.proof else None
    return record


def _triples(ranges: Mapping[str, ShapeRange]) -> dict[str, list[list[int]]]:
    return {name: [list(each) for each in value.triple] for name, value in ranges.items()}


def _from_json(record: Mapping[str, Any]) -> Manifest:
    values = {key: value for key, value in record.items() if key != "format"}
    for kind, names in _TYPES.items():
        for name in names:
            if not isinstance(values[name], kind) or isinstance(values[name], bool):
                raise TypeError(f"{name} is {values[name]!r}")
    for key in ("compute_capabilities", "warnings"):
        values[key] = tuple(map(str, values[key]))
    of_values = values.pop("profile_values", [{} for _ in values["profiles"]])
    values["profiles"] = tuple(
        OptimizationProfile(shapes, decisive)
        for shapes, decisive in zip(values["profiles"], of_values, strict=True)
    )
    for side in ("inputs", "outputs"):
        values[side] = tuple(
            TensorSpec(str(spec["name"]), str(spec["dtype"]), tuple(spec["shape"])) for spec in values[side]
        )
    proof = values.pop("proof", None)
    return Manifest(**values, proof=PrecisionProof.from_json(proof) if proof else None)
