"""Check a model repository without a server."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trtforge._files import file_sha256
from trtforge.engine import load_manifest
from trtforge.errors import EngineIntegrityError, RepositoryError
from trtforge.serving.triton.advice import check_advice
from trtforge.serving.triton.against_engine import check_engine
from trtforge.serving.triton.defaults import with_defaults
from trtforge.serving.triton.findings import Finding
from trtforge.serving.triton.messages import parse
from trtforge.serving.triton.rules import check_rules

CONFIG = "config.pbtxt"
_VERSION = re.compile(r"[1-9][0-9]{0,17}")  # Triton holds it in 64 bits


def check_repository(path: str | os.PathLike[str]) -> dict[str, tuple[Finding, ...]]:
    """Check every model of a repository.

    Parameters
    ----------
    path : folder with one folder for each model.

    Returns
    -------
    Model's name to what keeps it from being served; nothing where all is well.

    Raises
    ------
    RepositoryError : there is no such folder, or no model in it.
    MissingExtraError : tritonclient is not installed.
    """
    folder = Path(path)
    models = sorted(found for found in folder.iterdir() if found.is_dir()) if folder.is_dir() else []
    if not models:
        raise RepositoryError(
            f"no model repository at {folder}",
            hint="a repository holds one folder for each model, with config.pbtxt and numbered versions",
        )
    return {model.name: check_model(model) for model in models}


def check_model(folder: str | os.PathLike[str]) -> tuple[Finding, ...]:
    """Check one model: its configuration by Triton's rules, and by the engines beside it.

    Parameters
    ----------
    folder : with ``config.pbtxt`` and a folder for each version.

    Returns
    -------
    What keeps it from being served, or will hurt later; a configuration that does not parse, or that Triton
    refuses, is not compared with engines.

    Raises
    ------
    MissingExtraError : tritonclient is not installed.
    """
    model = Path(folder)
    try:
        text = (model / CONFIG).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return (Finding("configuration", f"{CONFIG} cannot be read: {error}", "parser"),)
    message, findings = parse(text)
    if message is None:
        return findings
    config = with_defaults(message, model.name)
    findings = (*check_rules(config, model.name), *_files(config, model))
    if not findings:
        findings = tuple(_engines(config, model))
    return (*findings, *check_advice(config))


def served_versions(config: Any, model: Path) -> list[int]:
    """Return the versions that the policy loads, newest last."""
    names = [found.name for found in model.iterdir() if found.is_dir()]
    present = sorted(int(name) for name in names if _VERSION.fullmatch(name))
    policy = config.version_policy
    if policy.HasField("specific"):
        return [version for version in present if version in policy.specific.versions]
    if policy.HasField("latest"):
        return present[-max(1, policy.latest.num_versions) :]
    return present


def _files(config: Any, model: Path) -> Iterator[Finding]:
    """Return what the configuration names beside plans, and Triton would not find when it loads the model."""
    for tensor in config.output:
        if tensor.label_filename and not (model / tensor.label_filename).is_file():
            yield Finding(
                "labels",
                f"output {tensor.name!r} has labels in {tensor.label_filename!r}, no such file",
                "triton",
            )
    for sample in config.model_warmup:
        for name, value in sample.inputs.items():
            file = value.input_data_file
            if file and not (model / "warmup" / file).is_file():
                yield Finding(
                    "warm-up",
                    f"warm-up {sample.name!r} fills {name!r} from warmup/{file}, no such file",
                    "triton",
                )


def _engines(config: Any, model: Path) -> Iterator[Finding]:
    versions = served_versions(config, model)
    if not versions:
        yield Finding("versions", "the version policy leaves no version to load", "triton")
    for version in versions:
        files = dict(sorted(config.cc_model_filenames.items()))
        files.setdefault("default", config.default_model_filename)
        for file in dict.fromkeys(files.values()):
            yield from _engine(config, model / str(version), file)
        for capability, file in sorted(config.cc_model_filenames.items()):
            yield from _capability(model / str(version) / file, capability, f"{version}/{file}")


def _engine(config: Any, folder: Path, file: str) -> Iterator[Finding]:
    plan, name = folder / file, f"{folder.name}/{file}"
    if "\0" in file:
        yield Finding("plan", f"{file!r} can be no file's name", "triton")
    elif folder.resolve() not in plan.resolve().parents:
        yield Finding("plan", f"{name} lies outside its version's folder", "engine")
    elif not plan.is_file():
        yield Finding("plan", f"there is no plan {name}", "triton")
    else:
        try:
            manifest = load_manifest(plan)
        except EngineIntegrityError as error:
            yield Finding("manifest", f"{name}: {error.message}", "engine")
            return
        if (plan.stat().st_size, file_sha256(plan)) != (manifest.plan_bytes, manifest.plan_sha256):
            yield Finding("plan", f"{name} is not the plan that its manifest describes", "engine")
        yield from check_engine(config, manifest, name)


def _capability(plan: Path, capability: str, name: str) -> Iterator[Finding]:
    try:
        built_for = load_manifest(plan).compute_capabilities
    except (EngineIntegrityError, ValueError):  # told of the plan before
        return
    if capability not in built_for:
        yield Finding(
            "compute-capability",
            f"{name} is named for compute capability {capability}, it was built for {', '.join(built_for)}",
            "engine",
        )
