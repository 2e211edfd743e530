"""Write a model repository from engines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from trtforge._files import write_together
from trtforge.engine import Engine
from trtforge.engine.manifest_file import manifest_path
from trtforge.engine.signature import read_signature, signature_path
from trtforge.errors import ConfigError
from trtforge.serving.triton.advice import check_advice
from trtforge.serving.triton.against_engine import check_engine
from trtforge.serving.triton.checking import CONFIG
from trtforge.serving.triton.defaults import with_defaults
from trtforge.serving.triton.findings import refuse
from trtforge.serving.triton.messages import parse, render
from trtforge.serving.triton.model_config import DEFAULT_PLAN, make_config
from trtforge.serving.triton.rules import check_rules
from trtforge.serving.triton.settings import TritonSettings, check_name

PathLike = str | os.PathLike[str]


def export_model(
    engines: Sequence[PathLike],
    repository: PathLike,
    *,
    name: str,
    version: int | None = None,
    settings: TritonSettings | None = None,
) -> Path:
    """Write engines of one network as one version of a model that Triton serves.

    The configuration, the plans, their manifests and signatures are checked first, and written only where
    nothing is found; an earlier version's files stay as they are. The configuration is the model's: it holds
    for earlier versions too.

    Parameters
    ----------
    engines : paths of engines of one network, each for other GPUs, which take and give the same tensors.
    repository : the repository's folder; made where there is none.
    name : of the model.
    version : 1 or more; by default one above the newest there is.
    settings : how it is to be served.

    Returns
    -------
    The model's folder.

    Raises
    ------
    ConfigError : there are no engines, two are for the same GPUs, of different networks or by different
        libraries, or a setting does not fit them.
    EngineIntegrityError : an engine is not what was written.
    RepositoryError : Triton would refuse the result, or it would hurt later.
    MissingExtraError : tritonclient is not installed.
    """
    check_name(name)
    loaded = _name_plans([(Path(path), Engine.load(path, check_machine=False)) for path in engines])
    model = Path(repository) / name
    number = _next_version(model) if version is None else version
    if not 1 <= number < 10**18:  # Triton holds it in 64 bits
        raise ConfigError(
            f"version must be 1 or more, and of 18 digits at most, got {number}", settings=("version",)
        )
    plans = {file: engine.manifest for file, (_, engine) in loaded.items()}
    message = make_config(name, plans, settings or TritonSettings())
    text = render(message)
    parsed, findings = parse(text)
    config = with_defaults(parsed if parsed is not None else message, name)
    found = [*findings, *check_rules(config, name), *check_advice(config)]
    for file, manifest in plans.items():
        found += check_engine(config, manifest, file)
    refuse(found, name)
    files: dict[Path, bytes] = {}
    for file, (source, engine) in loaded.items():
        plan = model / str(number) / file
        files[manifest_path(plan)] = engine.manifest.dumps().encode()
        if (signature := read_signature(source)) is not None:
            files[signature_path(plan)] = signature
        files[plan] = engine.plan
    # The configuration last: Triton that polls the folder must not see it name plans that are not there.
    write_together({**files, model / CONFIG: text.encode()})
    return model


def _name_plans(engines: Sequence[tuple[Path, Engine]]) -> dict[str, tuple[Path, Engine]]:
    if not engines:
        raise ConfigError("no engine to export", hint="pass at least one NAME.engine")
    _, first = engines[0]
    named: dict[str, tuple[Path, Engine]] = {}
    for path, engine in engines:
        made, other = engine.manifest, first.manifest
        if (made.onnx_sha256, made.inputs, made.outputs, made.profiles) != (
            other.onnx_sha256, other.inputs, other.outputs, other.profiles,
        ):  # fmt: skip
            raise ConfigError(
                f"{path} and {engines[0][0]} differ in network, tensors or profiles",
                hint="a model serves engines of one network, each for other GPUs; give others another name",
            )
        if (made.library, made.library_version) != (other.library, other.library_version):
            raise ConfigError(
                f"{path} was built by {made.library} {made.library_version}, {engines[0][0]} by "
                f"{other.library} {other.library_version}",
                hint="a server has one TensorRT; build both with that",
            )
        for earlier, its in named.values():
            both = set(made.compute_capabilities) & set(its.manifest.compute_capabilities)
            if both:
                raise ConfigError(
                    f"{path} and {earlier} are both for compute capability {', '.join(sorted(both))}",
                    hint="each GPU loads one plan; leave one of the engines out",
                )
        file = _file_name(engine)
        if file in named:
            raise ConfigError(f"{path} and {named[file][0]} would both be the default, {file}")
        named[file] = path, engine
    if len(named) == 1:
        return {DEFAULT_PLAN: next(iter(named.values()))}
    return named


def _file_name(engine: Engine) -> str:
    capabilities = engine.manifest.compute_capabilities
    if any(capability.endswith("+") for capability in capabilities):
        return DEFAULT_PLAN
    return f"model_sm{'_'.join(capability.replace('.', '') for capability in capabilities)}.plan"


def _next_version(model: Path) -> int:
    names = [found.name for found in model.iterdir()] if model.is_dir() else []
    return max((int(name) for name in names if name.isascii() and name.isdigit()), default=0) + 1
